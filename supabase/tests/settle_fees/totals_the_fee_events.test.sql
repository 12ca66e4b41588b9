begin;
\ir ../helpers.psql
select plan(9);

-- an operator adds XTS, the currency that ISO 4217 reserves for tests
insert into private.currencies values ('XTS', 2);
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
select
  jsonb_path_query_first(settle_fees('2026-01-01', '2100-01-01', $1), '$[*] ? (@.currency == "XTS")') as settlement;

select throws_ok('execute settle (false)', 'PT403', 'not_an_admin', 'a thinker may not settle');
select tests.be_server();
select throws_ok(
  $$ select settle_fees('2026-02-01', '2026-02-01') $$, 'PT400', 'period_invalid', 'a period has at least a day'
);
create temporary table dry as execute settle (true);
select is(settlement -> 'total_cents', '482', 'twice 2 percent of 120.25, rounded half up') from dry;
select is_empty($$ select * from settlements where currency = 'XTS' $$, 'a dry run writes nothing');

create temporary table made as execute settle (false);
select is(made.settlement - 'id' @> (dry.settlement - 'id'), true, 'the settlement equals the dry run')
from made
cross join dry;
select is(settlement -> 'reversals', '1', 'a cancelled booking is reversed') from made;
create temporary table again as execute settle (false);
select is(settlement, null, 'a second run settles nothing') from again;

select throws_ok(
  format('select pay_settlement(%L)', settlement ->> 'id'), 'PT409', 'settlement_move_refused',
  'an open settlement cannot be paid'
)
from made;
select void_settlement((settlement ->> 'id')::uuid, 'a test') from made;
create temporary table anew as execute settle (true);
select is(settlement -> 'total_cents', '482', 'the fee events of a voided settlement are due again') from anew;

select * from finish();
rollback;
