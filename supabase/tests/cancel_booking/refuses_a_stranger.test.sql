begin;
\ir ../helpers.psql
select plan(6);

select tests.sign_in('issuer');
select issue_voucher('v-1', valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 18:00Z');
select tests.sign_in('holder');
select set_config('tests.booking', book_voucher('v-1', '2030-01-07 09:00Z') #>> '{booking,id}', true);

select tests.sign_in('stranger');
select throws_ok(
  $$ select cancel_booking(current_setting('tests.booking')) $$,
  'PT403', 'not_a_party',
  'only issuer and holder may cancel'
);
select throws_ok(
  $$ select cancel_booking(voucher_id => 'v-1') $$,
  'PT404', 'booking_not_found',
  'a stranger has no booking of the voucher to cancel'
);
reset role;
select is((select status from voucher_bookings where voucher_id = 'v-1'), 'booked', 'the booking is still active');

select tests.sign_in('issuer');
select is(
  cancel_booking(voucher_id => 'v-1', reason => 'ill') #>> '{booking,status}', 'cancelled',
  'the issuer may cancel'
);
select tests.sign_in('holder');
select book_voucher('v-1', '2030-01-07 09:00Z');
select is(
  cancel_booking(voucher_id => 'v-1') #>> '{booking,status}', 'cancelled',
  'the slot was free again, and its holder may cancel'
);
select is(
  available_slots('v-1') #>> '{0,slot_start}', '2030-01-07T09:00:00+00:00',
  'the slot is offered again'
);

select * from finish();
rollback;
