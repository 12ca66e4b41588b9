begin;
\ir ../helpers.psql
select plan(6);

-- else a plan may keep all bookings, and compare each slot with each of them, without another search
set local enable_material = off;

-- how often the bookings, or an index of theirs, were searched
create function tests.searches()
returns bigint
language sql
as $$
  select sum(pg_stat_get_xact_numscans(r.oid))
  from (
    select 'public.voucher_bookings'::regclass::oid
    union all
    select i.indexrelid from pg_index i where i.indrelid = 'public.voucher_bookings'::regclass
  ) as r (oid)
$$;

select tests.sign_in('cara');
select send_heartbeat();
reset role;
update thinkers set no_overlap_across_vouchers = true where public_id = 'cara';
select tests.sign_in('anna');
select issue_voucher(
  'v-1', valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 15:00Z', duration_minutes => 120
);
select issue_voucher('long', valid_from => '2030-01-07 09:00Z', valid_until => '2032-01-07 09:00Z');
select tests.sign_in('ben');
select book_voucher('v-1', '2030-01-07 11:00Z');
select book_voucher('long', '2030-02-07 09:00Z');

select is(
  jsonb_path_query_array(available_slots('v-1'), '$[*].slot_start')::text,
  '["2030-01-07T09:00:00+00:00", "2030-01-07T13:00:00+00:00"]', 'slots that overlap a booking are not offered'
);
select is(
  jsonb_path_query_array(available_slots('v-1', slots_to => '2030-01-07 10:00Z'), '$[*].slot_start')::text,
  '["2030-01-07T09:00:00+00:00"]', 'the last of a window neither, where it ends within a booking'
);
select is(
  jsonb_path_query_array(available_slots('v-1', slots_from => '2030-01-07 12:00Z'), '$[*].slot_start')::text,
  '["2030-01-07T13:00:00+00:00"]', 'nor the first, where it starts within one'
);

reset role;
select set_config('tests.searches', tests.searches()::text, true);
select tests.sign_in('ben');
select is(jsonb_array_length(available_slots('long')), 8759, 'a year has 8760 slots, one of which is booked');
reset role;
select cmp_ok(
  tests.searches() - current_setting('tests.searches')::bigint, '<=', 4::bigint,
  'the bookings are not searched for each'
);

update vouchers
set issuer_id = (select id from thinkers where public_id = 'cara')
where id = 'v-1';
select tests.sign_in('ben');
select is(
  jsonb_path_query_array(available_slots('v-1'), '$[*].slot_start')::text,
  '["2030-01-07T09:00:00+00:00", "2030-01-07T13:00:00+00:00"]',
  'an issuer of one appointment at a time has those of the voucher, too, also from an issuer before it'
);

select * from finish();
rollback;
