begin;
\ir ../helpers.psql
select plan(4);

select tests.sign_in('issuer');
select issue_voucher(
  'v-90-minutes', duration_minutes => 90, valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 18:00Z'
);

select tests.sign_in('holder');
select lives_ok(
  $$ select book_voucher('v-90-minutes', '2030-01-07 09:00Z') $$,
  'the first slot is booked'
);
select tests.sign_in('another');
select throws_ok(
  $$ select book_voucher('v-90-minutes', '2030-01-07 10:00Z') $$,
  'PT409', 'slot_taken',
  'an overlapping slot is refused, although its start is free'
);
select lives_ok(
  $$ select book_voucher('v-90-minutes', '2030-01-07 11:00Z') $$,
  'a slot that begins after its end is booked'
);

reset role;
select is(
  (select count(*) from voucher_bookings where voucher_id = 'v-90-minutes' and status = 'booked'), 2::bigint,
  'the table has two active bookings'
);

select * from finish();
rollback;
