-- What is measured, beside the 400 days of tests/storms/busy_year.sql: thinkers who are online, pairs that have met, vouchers with
-- free slots, and limits that no measurement reaches. `bench.thinkers` says how many thinkers, `bench.begins` (epoch) from when
-- on slots are free.
set session_replication_role = replica;

update private.settings
set bookings_held = 2e9, vouchers_a_day = 2e9, bookings_a_day = 2e9, transfers_a_day = 2e9, presence_changes_a_day = 2e9, bytes_a_day = 9e18;

-- a minute after a measurement its thinkers would be set offline, while the next one runs
delete from private.jobs;

create temporary table online as
select uid, private.thinker_id(uid) as id, pair_code
from (
  select 'thinker-' || lpad(to_hex(n), 12, '0') as uid, 'pair-' || n / 2 as pair_code
  from generate_series(0, current_setting('bench.thinkers')::int - 1) as n
  union all
  select 'paired-' || n, 'paired-' || n / 2 from generate_series(0, 999) as n
) as names;

insert into public.thinkers (id, public_id)
select id, uid from online;

-- last seen in the future, so that pairs stay together for as long as a measurement takes; every second row makes room in the
-- pages, as the updates of a day do
insert into public.presence_sessions (thinker_id, pair_code, room_id, last_seen_at)
select
  case when stays then id else gen_random_uuid() end, pair_code, case when stays then 'room-' || pair_code end,
  now() + interval '1 day'
from online
cross join (values (true), (false)) as kinds (stays);

delete from public.presence_sessions where room_id is null;
vacuum public.presence_sessions;

insert into public.rooms (id, type)
select distinct room_id, 'mixed' from public.presence_sessions;

create temporary view offers as
select kind || '-' || n as id, kind, hours, t.id as issuer_id
from (values ('open', 100, 322), ('book', 1000, 8760)) as kinds (kind, number, hours)
cross join lateral generate_series(0, number - 1) as n
cross join (select id from online limit 1) as t;

insert into public.vouchers (id, issuer_id, holder_id, status, valid_from, valid_until, title, price_amount, price_currency)
select
  id, issuer_id, case kind when 'open' then issuer_id end, case kind when 'open' then 'booked' else 'issued' end,
  to_timestamp(current_setting('bench.begins')::bigint),
  to_timestamp(current_setting('bench.begins')::bigint) + hours * interval '1 hour', 'Beratung', 12000, 'EUR'
from offers;

-- one of the 322 slots of each open voucher is taken
insert into public.voucher_bookings (
  voucher_id, issuer_id, holder_id, slot_start, slot_end, price_amount, price_currency
)
select v.id, v.issuer_id, v.issuer_id, v.valid_from, v.valid_from + interval '1 hour', v.price_amount, v.price_currency
from public.vouchers v
where v.id like 'open-%';

-- as the triggers would
insert into public.events (type, actor_id, subject_type, subject_id)
select 'voucher.issue', issuer_id, 'voucher', id from offers
union all
select 'voucher.book', holder_id, 'voucher_booking', id from public.voucher_bookings where voucher_id like 'open-%';

set session_replication_role = origin;
