begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(7);

select tests.sign_out();
select throws_ok('select * from voucher_bookings', '42501', null, 'anon sees no booking');

select tests.sign_in('anna');
select set_eq(
  'select voucher_id from voucher_bookings', array['booked', 'open'], 'an issuer sees the bookings of its vouchers'
);
select tests.sign_in('ben');
select set_eq(
  'select voucher_id from voucher_bookings', array['booked', 'open'], 'a holder sees its bookings, also cancelled ones'
);
select tests.sign_in('zoe');
select book_voucher('open', '2030-01-07 11:00Z');
select set_eq('select voucher_id from voucher_bookings', array['sams', 'open'], 'another holder sees its own booking');
select is((select count(*) from voucher_bookings where voucher_id = 'open'), 1::bigint, 'and not that of another');
select tests.sign_in('lena');
select is_empty('select * from voucher_bookings', 'a stranger sees none');
select tests.sign_in('ada');
select set_has('select voucher_id from voucher_bookings', $$ values ('booked'), ('sams') $$, 'an admin sees all');

select * from finish();
rollback;
