-- 400 days of a busy portal up to now: thinkers, then as many vouchers, bookings and transfers, and events, as the settings
-- `busy_year.*` say. Written as a backup is restored: the triggers would give everything the time of now.
set session_replication_role = replica;

insert into public.thinkers (id, public_id, created_at)
select private.thinker_id('t' || i), 't' || i, now() - interval '400 days' * (i / current_setting('busy_year.thinkers')::int::float)
from generate_series(1, current_setting('busy_year.thinkers')::int) as i;

create temporary table people as select row_number() over () - 1 as n, id from public.thinkers;
create index on people (n);

insert into public.vouchers (
  id, issuer_id, valid_from, valid_until, duration_minutes, price_amount, price_currency, terms, created_at
)
select
  'v' || i, p.id, at + interval '1 day', at + interval '8 days', (array[60, 50, 30, 120, 90])[1 + i % 5],
  5000 + i % 9000, (array['EUR', 'EUR', 'CHF', 'JPY'])[1 + i % 4],
  jsonb_build_object('template', (array['consulting', 'therapy', 'viewing', 'machine', 'none'])[1 + i % 5]), at
from generate_series(1, current_setting('busy_year.rows')::int) as i
join people p on p.n = i % current_setting('busy_year.thinkers')::int
cross join lateral (select now() - interval '400 days' * (i / current_setting('busy_year.rows')::int::float) as at) as a;

insert into public.voucher_bookings (
  id, voucher_id, issuer_id, holder_id, slot_start, slot_end, status, created_at, cancelled_at, price_amount,
  price_currency
)
select
  'b' || i, v.id, v.issuer_id, p.id, slot, slot + v.duration_minutes * interval '1 minute',
  case i % 10 when 0 then 'cancelled' else 'booked' end, v.created_at + interval '1 hour',
  case i % 10 when 0 then v.created_at + interval '1 day' end, v.price_amount, v.price_currency
from generate_series(1, current_setting('busy_year.rows')::int) as i
join public.vouchers v on v.id = 'v' || i
join people p on p.n = (i + 1) % current_setting('busy_year.thinkers')::int
cross join lateral (select v.valid_from + i % 24 * interval '1 hour' as slot) as s
where v.created_at < now() - interval '1 day';

insert into public.fee_events (
  fee_id, subject_type, subject_id, amount_cents, currency, created_at, beneficiary_id, base_cents, rate, fixed_cents, unrounded
)
select
  f.id, 'voucher_booking', b.id, round(v.price_amount * 0.02), v.price_currency, b.created_at, f.beneficiary_id,
  v.price_amount, 0.02, 0, v.price_amount * 0.02
from public.voucher_bookings b
join public.vouchers v on v.id = b.voucher_id
join public.fees f on f.id = 'voucher.booking';

insert into public.transfers (
  id, direction, network, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, created_at, updated_at
)
select
  'x' || i, (array['in', 'in', 'out'])[1 + i % 3], (array['Polygon', 'Bitcoin', null])[1 + i % 3], 1, 'ETH', i % 100000,
  (array['EUR', 'usd', 'JPY', 'KWD'])[1 + i % 4], '', at, at
from generate_series(1, current_setting('busy_year.rows')::int) as i
cross join lateral (select now() - interval '400 days' * (i / current_setting('busy_year.rows')::int::float) as at) as a;

insert into public.events (type, actor_id, subject_type, subject_id, created_at)
select
  (array['presence.heartbeat', 'presence.heartbeat', 'voucher.book', 'transfer.logged'])[1 + i % 4], p.id, 'presence_session',
  's' || i, now() - interval '400 days' * (i / current_setting('busy_year.events')::int::float)
from generate_series(1, current_setting('busy_year.events')::int) as i
join people p on p.n = i * 7919::bigint % current_setting('busy_year.thinkers')::int;

set session_replication_role = origin;

select private.make_event_partitions();
