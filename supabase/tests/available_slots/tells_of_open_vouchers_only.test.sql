begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(7);

select tests.sign_out();
select is(jsonb_array_length(available_slots('open')), 9, 'anon sees the nine hours of an open offer');
select throws_ok($$ select available_slots('booked') $$, 'PT404', 'voucher_not_found', 'but nothing of a booked voucher');
select throws_ok($$ select available_slots('past') $$, 'PT404', 'voucher_not_found', 'nor of one that is over');
select throws_ok($$ select available_slots('no-such') $$, 'PT404', 'voucher_not_found', 'as of one that never was');

select tests.sign_in('sam');
select is(jsonb_array_length(available_slots('booked')), 8, 'who knows its id sees the other hours of a booked voucher');
select throws_ok($$ select available_slots('given') $$, 'PT404', 'voucher_not_found', 'but nothing of one for somebody else');
select tests.sign_in('ben');
select lives_ok($$ select available_slots('given') $$, 'which its holder sees');

select * from finish();
rollback;
