begin;
\ir ../helpers.psql
select plan(9);

-- in the currency that ISO 4217 keeps for tests
select tests.sign_in('anna');
select public.issue_voucher(
  'priced', valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 18:00Z',
  price_amount => 12025, price_currency => 'XTS'
);
select tests.sign_in('ben');
select public.book_voucher('priced', '2030-01-07 09:00Z'), public.book_voucher('priced', '2030-01-07 10:00Z');
select tests.sign_in('carl');
select public.book_voucher('priced', '2030-01-07 11:00Z'), public.cancel_booking(voucher_id => 'priced');

prepare settle (boolean) as
select jsonb_path_query_first(settle_fees('2026-01-01', '2100-01-01', $1), '$[*] ? (@.currency == "XTS")') as settlement;

select throws_ok('execute settle (false)', 'PT403', 'not_an_admin', 'a thinker settles nothing');
select tests.be_server();
select throws_ok(
  $$ select settle_fees('2026-02-01', '2026-02-01') $$, 'PT400', 'period_invalid', 'a period has at least a day'
);
create temporary table dry as execute settle (true);
select is(settlement -> 'total_cents', '482', 'twice 2 percent of 120.25, rounded half up') from dry;
select is_empty($$ select * from settlements where currency = 'XTS' $$, 'a dry run writes nothing');

create temporary table made as execute settle (false);
select is(settlement - 'id' @> (select settlement - 'id' from dry), true, 'the settlement is what the dry run said') from made;
select is(settlement -> 'reversals', '1', 'with what was cancelled taken back') from made;
create temporary table again as execute settle (false);
select is(settlement, null, 'a second time there is nothing left') from again;

select throws_ok(
  format('select pay_settlement(%L)', settlement ->> 'id'), 'PT409', 'settlement_move_refused', 'paid only after invoiced'
)
from made;
select void_settlement((settlement ->> 'id')::uuid, 'a test') from made;
create temporary table anew as execute settle (true);
select is(settlement -> 'total_cents', '482', 'what was voided is settled anew') from anew;

select * from finish();
rollback;
