begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(8);

select tests.sign_out();
select is(jsonb_array_length(available_slots('open')), 9, 'anon sees the nine hours of an open offer');
select throws_ok($$ select available_slots('booked') $$, 'PT404', 'voucher_not_found', 'anon: not of a booked voucher');
select throws_ok($$ select available_slots('past') $$, 'PT404', 'voucher_not_found', 'anon: not of an expired voucher');
select throws_ok($$ select available_slots('no-such') $$, 'PT404', 'voucher_not_found', 'there is no such voucher');

select tests.sign_in('sam');
select is(jsonb_array_length(available_slots('booked')), 8, 'a thinker sees the free hours of a booked voucher');
select throws_ok(
  $$ select available_slots('given') $$, 'PT404', 'voucher_not_found', 'but not of one reserved for another thinker'
);
select tests.sign_in('ben');
select lives_ok($$ select available_slots('given') $$, 'the thinker that it is reserved for sees its slots');
select book_voucher('given', (available_slots('given') #>> '{0,slot_start}')::timestamptz);
select cancel_booking(voucher_id => 'given');
select tests.sign_in('sam');
select throws_ok(
  $$ select available_slots('given') $$, 'PT404', 'voucher_not_found', 'it stays reserved after a cancelled booking'
);

select * from finish();
rollback;
