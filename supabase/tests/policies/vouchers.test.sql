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
  'an issuer sees its vouchers, whatever became of them'
);
select tests.sign_in('ben');
select set_eq(
  $$ select id from vouchers where id not like 'v-demo-%' $$, array['open', 'booked', 'given'],
  'a holder sees what it holds'
);
select tests.sign_in('lena');
select set_eq(
  $$ select id from vouchers where id not like 'v-demo-%' $$, array['open'],
  'a stranger sees open offers only'
);

-- what closes an offer
select tests.sign_in('ben');
select book_voucher('open', '2030-01-07 10:00Z');
select tests.sign_out();
select is_empty($$ select id from vouchers where id = 'open' $$, 'a booked voucher is no open offer');
select tests.sign_in('ben');
select cancel_booking(voucher_id => 'open');
select tests.sign_out();
select isnt_empty($$ select id from vouchers where id = 'open' $$, 'after the cancellation it is one again');
select tests.sign_in('ben');
select isnt_empty($$ select id from vouchers where id = 'open' $$, 'for the former holder too');
reset role;
update vouchers set valid_until = now(), valid_from = '2020-01-01' where id = 'open';
select tests.sign_out();
select is_empty($$ select id from vouchers where id = 'open' $$, 'the moment that ends it is the first without it');
select tests.sign_in('lena');
select is_empty($$ select id from vouchers where id = 'open' $$, 'for the signed-in too');

-- what was issued to ben stays his, whatever becomes of his appointment
select tests.sign_in('anna');
select issue_voucher(
  'for ben', valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 18:00Z', holder_uid => 'ben'
);
select tests.sign_in('ben');
select book_voucher('for ben', '2030-01-07 09:00Z');
select tests.sign_in('lena');
select throws_ok(
  $$ select book_voucher('for ben', '2030-01-07 12:00Z') $$, 'PT404', 'voucher_not_found',
  'nobody else takes another appointment of it'
);
select tests.sign_in('ben');
select cancel_booking(voucher_id => 'for ben');
select isnt_empty($$ select id from vouchers where id = 'for ben' $$, 'he sees it when he has cancelled');
select tests.sign_in('lena');
select is_empty($$ select id from vouchers where id = 'for ben' $$, 'nobody else does');
select tests.sign_out();
select throws_ok(
  $$ select available_slots('for ben') $$, 'PT404', 'voucher_not_found', 'nor when it is free'
);

select tests.sign_in('ada');
select set_has('select id from vouchers', $$ values ('past'), ('given'), ('sams') $$, 'an admin sees all');
select throws_ok(
  $$ update vouchers set price_amount = 0 $$, '42501', 'permission denied for table vouchers', 'and writes none'
);

select * from finish();
rollback;
