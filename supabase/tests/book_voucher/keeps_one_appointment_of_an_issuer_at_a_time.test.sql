begin;
\ir ../helpers.psql
select plan(12);

select tests.sign_in('issuer');
select issue_voucher(v, valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 11:00Z')
from unnest(array['v-1', 'v-2', 'v-3']) as v;
select tests.sign_in('other issuer');
select issue_voucher('v-other', valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 11:00Z');

select tests.sign_in('holder');
select lives_ok($$ select book_voucher('v-1', '2030-01-07 09:00Z') $$, 'a slot is booked');
select lives_ok($$ select book_voucher('v-2', '2030-01-07 09:00Z') $$, 'by default, another voucher has the same hour');

reset role;
select throws_ok(
  $$ update thinkers set no_overlap_across_vouchers = true where public_id = 'issuer' $$,
  '23P01', 'conflicting key value violates exclusion constraint "no_overlap_across_vouchers"',
  'the option cannot be set while bookings overlap'
);

select tests.sign_in('holder');
select cancel_booking(voucher_id => 'v-2');
reset role;
select lives_ok(
  $$ update thinkers set no_overlap_across_vouchers = true where public_id = 'issuer' $$,
  'otherwise it can be set'
);

select tests.sign_in('holder');
select throws_ok(
  $$ select book_voucher('v-2', '2030-01-07 09:00Z') $$, 'PT409', 'slot_taken',
  'an hour of the issuer is booked once, over all vouchers'
);
select is(
  jsonb_path_query_array(available_slots('v-3'), '$[*].slot_start')::text, '["2030-01-07T10:00:00+00:00"]',
  'an hour that is booked with another voucher is not offered'
);
select lives_ok($$ select book_voucher('v-3', '2030-01-07 10:00Z') $$, 'the next hour is booked');
select lives_ok($$ select book_voucher('v-other', '2030-01-07 09:00Z') $$, 'other issuers are not affected');

reset role;
select throws_ok(
  $$ insert into voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
     select 'v-2', issuer_id, holder_id, slot_start, slot_end from voucher_bookings where voucher_id = 'v-1' $$,
  '23P01', 'conflicting key value violates exclusion constraint "no_overlap_across_vouchers"',
  'the constraint holds for operators too'
);
select lives_ok(
  $$ insert into voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
     select v.id, v.issuer_id, v.issuer_id, '2020-01-07 09:00Z', '2020-01-07 10:00Z' from vouchers v
     where v.id in ('v-1', 'v-2') $$,
  'appointments that are over may have overlapped'
);
select throws_ok(
  $$ update voucher_bookings set slot_start = '2030-01-07 09:00Z', slot_end = '2030-01-07 10:00Z'
     where voucher_id = 'v-2' and slot_start < now() $$,
  'PT403', 'append_only',
  'an appointment cannot be moved'
);
update thinkers set no_overlap_across_vouchers = false where public_id = 'issuer';
select tests.sign_in('holder');
select lives_ok($$ select book_voucher('v-2', '2030-01-07 09:00Z') $$, 'the option can be taken back');

select * from finish();
rollback;
