-- 400 days of a busy portal up to now: thinkers, then as many vouchers, bookings and transfers, and events, as the settings
-- `busy_year.*` say. Written as a backup is restored, because the triggers would give everything the time of now; with what they
-- would write, so that no invariant is violated.
set session_replication_role = replica;

-- otherwise the events would have to move
select private.make_import_partitions(array(
  select to_char(at, 'YYYY-MM')
  from generate_series(date_trunc('month', now() - interval '400 days', 'UTC'), now(), interval '1 month') as at
));

insert into public.thinkers (id, public_id, created_at)
select private.thinker_id('t' || i), 't' || i, now() - interval '400 days' * (i / current_setting('busy_year.thinkers')::int::float)
from generate_series(1, current_setting('busy_year.thinkers')::int) as i;

create temporary table people as select row_number() over () - 1 as n, id from public.thinkers;
create index on people (n);

insert into public.vouchers (
  id, issuer_id, holder_id, status, valid_from, valid_until, duration_minutes, price_amount, price_currency, terms, created_at
)
select
  'v' || i, p.id, case when is_booked then h.id end, case when is_booked then 'booked' else 'issued' end,
  at + interval '1 day', at + interval '8 days', (array[60, 50, 30, 120, 90])[1 + i % 5],
  5000 + i % 9000, (array['EUR', 'EUR', 'CHF', 'JPY'])[1 + i % 4],
  jsonb_build_object('template', (array['consulting', 'therapy', 'viewing', 'machine', 'none'])[1 + i % 5]), at
from generate_series(1, current_setting('busy_year.rows')::int) as i
join people p on p.n = i % current_setting('busy_year.thinkers')::int
join people h on h.n = (i + 1) % current_setting('busy_year.thinkers')::int
cross join lateral (select now() - interval '400 days' * (i / current_setting('busy_year.rows')::int::float) as at) as a
cross join lateral (select i % 10 <> 0 and at < now() - interval '1 day' as is_booked) as b;

insert into private.named_templates (voucher_id, template_id)
select id, terms ->> 'template' from public.vouchers;

insert into public.voucher_bookings (
  id, voucher_id, issuer_id, holder_id, slot_start, slot_end, status, created_at, cancelled_at, price_amount,
  price_currency
)
select
  'b' || i, v.id, v.issuer_id, p.id, slot, slot + v.duration_minutes * interval '1 minute',
  case i % 10 when 0 then 'cancelled' else 'booked' end, v.created_at + interval '1 hour',
  case i % 10 when 0 then v.created_at + interval '12 hours' end, v.price_amount, v.price_currency
from generate_series(1, current_setting('busy_year.rows')::int) as i
join public.vouchers v on v.id = 'v' || i
join people p on p.n = (i + 1) % current_setting('busy_year.thinkers')::int
cross join lateral (select v.valid_from + i % 24 * interval '1 hour' as slot) as s
where v.created_at < now() - interval '1 day';

update public.fee_versions set valid_from = now() - interval '401 days';

insert into public.fee_events (
  fee_id, subject_type, subject_id, amount_cents, currency, created_at, beneficiary_id, payer_id, base_cents, rate, fixed_cents,
  unrounded
)
select
  f.id, 'voucher_booking', b.id, round(b.price_amount * 0.02), b.price_currency, b.created_at, f.beneficiary_id, b.issuer_id,
  b.price_amount, 0.02, 0, b.price_amount * 0.02
from public.voucher_bookings b
join public.fees f on f.id = 'voucher.booking';

insert into public.fee_events (
  fee_id, subject_type, subject_id, amount_cents, currency, created_at, beneficiary_id, payer_id, reverses
)
select
  c.fee_id, c.subject_type, c.subject_id, -c.amount_cents, c.currency, b.cancelled_at, c.beneficiary_id, c.payer_id, c.id
from public.fee_events c
join public.voucher_bookings b on b.id = c.subject_id
where b.status = 'cancelled';

insert into public.transfers (
  id, direction, network, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, created_at, updated_at
)
select
  'x' || i, (array['in', 'in', 'out'])[1 + i % 3], (array['Polygon', 'Bitcoin', null])[1 + i % 3], 1, 'ETH', i % 100000,
  (array['EUR', 'usd', 'JPY', 'KWD'])[1 + i % 4], '', at, at
from generate_series(1, current_setting('busy_year.rows')::int) as i
cross join lateral (select now() - interval '400 days' * (i / current_setting('busy_year.rows')::int::float) as at) as a;

insert into public.events (type, actor_id, subject_type, subject_id, created_at)
select 'voucher.issue', issuer_id, 'voucher', id, created_at from public.vouchers
union all
select 'voucher.book', holder_id, 'voucher_booking', id, created_at from public.voucher_bookings
union all
select 'voucher.cancel', holder_id, 'voucher_booking', id, cancelled_at from public.voucher_bookings where status = 'cancelled'
union all
select 'transfer.logged', null, 'transfer', id, created_at from public.transfers;

-- the rest of the events
insert into public.events (type, actor_id, subject_type, subject_id, created_at)
select
  'presence.heartbeat', p.id, 'presence_session', 's' || i, now() - interval '400 days' * (i / n.missing::float)
from (select current_setting('busy_year.events')::int - count(*) as missing from public.events) as n
cross join lateral generate_series(1, n.missing) as i
join people p on p.n = i * 7919::bigint % current_setting('busy_year.thinkers')::int;

set session_replication_role = origin;
