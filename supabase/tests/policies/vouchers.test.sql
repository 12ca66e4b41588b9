begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(15);

select tests.sign_out();
select set_eq(
  $$ select id from vouchers where id not like 'v-demo-%' $$, array['open'],
  'anon sees open offers only'
);
select tests.sign_in('anna');
select set_eq(
  $$ select id from vouchers where id not like 'v-demo-%' $$, array['open', 'booked', 'given', 'past'],
  'an issuer sees its vouchers, whatever their status'
);
select tests.sign_in('ben');
select set_eq(
  $$ select id from vouchers where id not like 'v-demo-%' $$, array['open', 'booked', 'given'],
  'a holder sees the vouchers that it holds'
);
select tests.sign_in('lena');
select set_eq(
  $$ select id from vouchers where id not like 'v-demo-%' $$, array['open'],
  'a stranger sees open offers only'
);

-- an offer is open while it is issued, without a holder and valid
select tests.sign_in('ben');
select book_voucher('open', '2030-01-07 10:00Z');
select tests.sign_out();
select is_empty($$ select id from vouchers where id = 'open' $$, 'a booked voucher is not an open offer');
select tests.sign_in('ben');
select cancel_booking(voucher_id => 'open');
select tests.sign_out();
select isnt_empty($$ select id from vouchers where id = 'open' $$, 'after the cancellation it is open again');
select tests.sign_in('ben');
select isnt_empty($$ select id from vouchers where id = 'open' $$, 'also for the former holder');
reset role;
update vouchers set valid_until = now(), valid_from = '2020-01-01' where id = 'open';
select tests.sign_out();
select is_empty($$ select id from vouchers where id = 'open' $$, 'at valid_until the offer is closed');
select tests.sign_in('lena');
select is_empty($$ select id from vouchers where id = 'open' $$, 'also for thinkers');

-- a voucher that is reserved for ben stays reserved, whatever happens to his booking
select tests.sign_in('anna');
select issue_voucher(
  'for ben', valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 18:00Z', holder_uid => 'ben'
);
select tests.sign_in('ben');
select book_voucher('for ben', '2030-01-07 09:00Z');
select tests.sign_in('lena');
select throws_ok(
  $$ select book_voucher('for ben', '2030-01-07 12:00Z') $$, 'PT404', 'voucher_not_found',
  'nobody else may book another slot of it'
);
select tests.sign_in('ben');
select cancel_booking(voucher_id => 'for ben');
select isnt_empty($$ select id from vouchers where id = 'for ben' $$, 'ben still sees it after he cancelled');
select tests.sign_in('lena');
select is_empty($$ select id from vouchers where id = 'for ben' $$, 'other thinkers do not');
select tests.sign_out();
select throws_ok(
  $$ select available_slots('for ben') $$, 'PT404', 'voucher_not_found', 'nor does anon see its slots'
);

select tests.sign_in('ada');
select set_has('select id from vouchers', $$ values ('past'), ('given'), ('sams') $$, 'an admin sees all');
select throws_ok(
  $$ update vouchers set price_amount = 0 $$, '42501', 'permission denied for table vouchers', 'and writes none'
);

select * from finish();
rollback;
