begin;
\ir ../helpers.psql
select plan(13);

-- vouchers have times in milliseconds
create function tests.moment(minutes integer)
returns timestamptz
language sql
as $$
  select date_trunc('milliseconds', now()) + make_interval(mins => minutes)
$$;
grant execute on function tests.moment to anon, authenticated, service_role;

-- slots 150, 90 and 30 minutes ago, in 30 and in 90 minutes; and one that starts now
select tests.sign_in('anna');
select issue_voucher('open', valid_from => tests.moment(-150), valid_until => now() + interval '3 hours');
select issue_voucher('now', valid_from => tests.moment(0), valid_until => now() + interval '1 hour');
select issue_voucher('long', valid_from => '2020-01-07 09:00Z', valid_until => now() + interval '3 years');

select tests.sign_out();
select is(jsonb_array_length(available_slots('open')), 2, 'what has started is not offered');
select is(
  available_slots('open', slots_from => '2020-01-07 09:00Z'), available_slots('open'), 'to those who ask for it neither'
);
select is(available_slots('open', slots_to => now()), '[]', 'there are no slots up to now');
select is(available_slots('now'), '[]', 'a slot that starts now is not offered');
select cmp_ok(jsonb_array_length(available_slots('long')), '>=', 8760, 'of a long window the first year that is left');

select tests.sign_in('ben');
select throws_ok(
  $$ select book_voucher('open', tests.moment(-30)) $$, 'PT409', 'slot_not_offered', 'it has started'
);
select throws_ok(
  $$ select book_voucher('long', '2020-01-07 09:00Z') $$, 'PT409', 'slot_not_offered', 'it is over for years'
);
select throws_ok($$ select book_voucher('now', tests.moment(0)) $$, 'PT409', 'slot_not_offered', 'it starts now');
select tests.sign_in('anna');
select throws_ok(
  $$ select book_voucher('open', tests.moment(-30)) $$, 'PT409', 'slot_not_offered',
  'its issuer cannot block it'
);
select tests.be_server('ben');
select throws_ok(
  $$ select book_voucher('open', tests.moment(-30)) $$, 'PT409', 'slot_not_offered',
  'a trusted server cannot book it'
);

reset role;
update private.settings set past_bookings = true;
select tests.sign_in('ben');
select throws_ok(
  $$ select book_voucher('open', tests.moment(-30)) $$, 'PT409', 'slot_not_offered',
  'the setting is not for thinkers'
);
select tests.be_server('ben');
select lives_ok(
  $$ select book_voucher('open', tests.moment(-30)) $$, 'a trusted server records it by the setting'
);
select throws_ok(
  $$ select book_voucher('open', tests.moment(-45)) $$, 'PT409', 'slot_not_offered', 'but only a slot'
);

select * from finish();
rollback;
