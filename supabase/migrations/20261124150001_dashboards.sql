-- Dashboards: figures by day as views in stats, the functions of GET /api/admin/stats/..., and a role that reads the views only.

-- an index behind each figure
create index thinkers_created_at_idx on public.thinkers (created_at);
create index vouchers_created_at_idx on public.vouchers (created_at);
create index vouchers_window_idx on public.vouchers using gist (tstzrange(valid_from, valid_until));
create index voucher_bookings_created_at_idx on public.voucher_bookings (created_at);
create index voucher_bookings_slot_idx on public.voucher_bookings using gist (tstzrange(slot_start, slot_end)) where status = 'booked';
create index voucher_bookings_cancelled_at_idx on public.voucher_bookings (cancelled_at) where cancelled_at is not null;
create index mortgage_applications_created_at_idx on public.mortgage_applications (created_at);
create index mortgage_offers_created_at_idx on public.mortgage_offers (created_at);
create index mortgage_contracts_created_at_idx on public.mortgage_contracts (created_at);
create index fee_events_created_at_idx on public.fee_events (created_at);

-- with what figures count, which then need not read the events themselves
drop index public.events_created_at_idx;
create index events_created_at_idx on public.events (created_at desc, id desc) include (type, actor_id);

-- with the real state of backups
create or replace function public.dashboard()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  with recent as (
    select
      e.created_at,
      coalesce(e.subject_type, 'unknown') as feature,
      e.type,
      e.type ~* 'error|fail'
        or (e.type = 'voucher.cancel' and coalesce(e.meta ->> 'reason', '') ~* 'error') as is_error,
      e.type ~* 'fix|resolve' as is_fix,
      e.type ~* 'critical|crash' as is_crash
    from public.events e
    where e.created_at > now() - interval '30 days'
  ),
  figures as (
    select
      count(*) as total,
      count(*) filter (where is_error) as errors,
      count(*) filter (where is_fix) as fixes,
      count(*) filter (where is_fix and created_at > now() - interval '7 days') as fixes_of_week,
      count(*) filter (where created_at > now() - interval '24 hours') as active,
      coalesce(100.0 * count(*) filter (where is_error) / nullif(count(*), 0), 0) as error_rate,
      coalesce(100.0 * count(*) filter (where is_crash) / nullif(count(*), 0), 0) as crash_rate
    from recent
  )
  select jsonb_build_object(
    'production_readiness', round(
      0.3 * least(100, active) + 0.4 * (100 - error_rate) + 0.3 * greatest(0, 100 - 2 * error_rate), 1
    ),
    'quality_score', round(100 - error_rate, 1),
    'system_stability', round(100 - crash_rate, 1),
    'activity_count', active,
    'production_timeline', (
      select jsonb_agg(
        jsonb_build_object(
          'date', to_char(day, 'YYYY-MM-DD'),
          'count', (select count(*) from recent r where (r.created_at at time zone 'UTC')::date = day::date)
        )
        order by day
      )
      from generate_series(
        (now() at time zone 'UTC')::date - 6, (now() at time zone 'UTC')::date, interval '1 day'
      ) as day
    ),
    'error_rate', round(error_rate, 2),
    'error_count', errors,
    'event_count', total,
    'top_errors', (
      select coalesce(jsonb_agg(jsonb_build_object('type', t.type, 'count', t.count) order by t.count desc, t.type), '[]')
      from (
        select r.type, count(*) from recent r where r.is_error group by r.type order by 2 desc, 1 limit 10
      ) t
    ),
    'fix_rate', round(coalesce(100.0 * fixes / nullif(errors, 0), 0), 2),
    'fixes_per_week', fixes_of_week,
    'open_errors', greatest(0, errors - fixes),
    'features', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('name', f.feature, 'events', f.events, 'error_rate', round(f.error_rate, 2))
          order by f.events desc, f.feature
        ),
        '[]'
      )
      from (
        select r.feature, count(*) as events, 100.0 * count(*) filter (where r.is_error) / count(*) as error_rate
        from recent r
        group by r.feature
      ) f
    ),
    'recent_events', public.list_events(20),
    -- what PostgreSQL itself knows of backups: the archive of its log, of which a server is restored
    'backup', (
      select jsonb_build_object(
        'status', case
          when current_setting('archive_mode') = 'off' then 'off'
          when a.last_failed_time >= coalesce(a.last_archived_time, '-infinity') then 'failed'
          when a.last_archived_time is null then 'waiting'
          else 'ok'
        end,
        'last_backup_at', a.last_archived_time,
        'success_rate', round(coalesce(100.0 * a.archived_count / nullif(a.archived_count + a.failed_count, 0), 0), 2)
      )
      from pg_catalog.pg_stat_archiver a
    )
  )
  from figures
$$;

comment on function public.dashboard is
  'The figures of GET /api/admin/dashboard (contract, section 7) over the events of the last 30 days; rates in percent, days in UTC. '
  'backup is the state of the server''s log archive (off, waiting, ok, failed), when it last grew, and how many percent of the '
  'attempts succeeded. Refuses: not_an_admin (403).';

comment on schema stats is
  'What operators look at: views for dashboards. A figure is of a day, which begins in the time zone of private.settings; the views '
  'have the rights of whoever looks (security_invoker), and read nothing but the *_facts in private: columns without names and texts.';

-- roles are the whole server's: another database may have made it already
do $$
begin
  if to_regrole('stats_reader') is null then
    create role stats_reader login noinherit connection limit 10;
    alter role stats_reader set default_transaction_read_only = on;
    alter role stats_reader set statement_timeout = '60s';
    alter role stats_reader set idle_in_transaction_session_timeout = '60s';
    comment on role stats_reader is
      'Metabase, Grafana and the like: reads the views of the schema stats and nothing else. Give it a password to let it in.';
  end if;
end;
$$;

grant usage on schema stats to stats_reader;

-- what the views call, with the rights of whoever looks
grant execute on function private.currency_code, private.currency_exponent to service_role, stats_reader;

create view private.calendar_facts
as
select
  s.time_zone,
  today.day as today,
  -- ten years at most, whatever somebody dated back
  greatest(
    today.day - 3653,
    (
      coalesce(
        least(
          (select min(t.created_at) from public.thinkers t),
          (select min(v.created_at) from public.vouchers v),
          (select min(b.created_at) from public.voucher_bookings b),
          (select min(a.created_at) from public.mortgage_applications a),
          (select min(o.created_at) from public.mortgage_offers o),
          (select min(c.created_at) from public.mortgage_contracts c),
          (select min(t.created_at) from public.transfers t),
          (select min(f.created_at) from public.fee_events f),
          (select min(r.created_at) from public.telemetry_events r),
          (select min(e.created_at) from public.events e)
        ),
        now()
      ) at time zone s.time_zone
    )::date
  ) as first_day
from private.settings s
cross join lateral (select (now() at time zone s.time_zone)::date as day) today;

comment on view private.calendar_facts is
  'The portal''s time zone, the day that it is there, and the day of the portal''s first row; read by stats.days.';

grant select on private.calendar_facts to service_role, stats_reader;

create view private.thinker_facts
as
select t.id, t.public_id as uid, t.created_at
from public.thinkers t;

comment on view private.thinker_facts is 'What figures need of thinkers: when they came, and the uid of a beneficiary.';

grant select on private.thinker_facts to service_role, stats_reader;

create view private.presence_facts
as
select
  s.pair_code,
  s.status = 'online' and s.last_seen_at > now() - interval '1 minute' as is_online
from public.presence_sessions s;

comment on view private.presence_facts is
  'What figures need of presence: who was seen in the last minute and did not say goodbye is online (specification, 2.2).';

grant select on private.presence_facts to service_role, stats_reader;

create view private.voucher_facts
as
select
  v.id,
  t.id as template_id,
  t.title as template_title,
  v.status,
  v.price_amount,
  v.price_currency,
  v.valid_from,
  v.valid_until,
  v.duration_minutes,
  -- as in private.slots_of: by the hour from valid_from, as long as a whole appointment fits in
  greatest(floor((date_part('epoch', v.valid_until - v.valid_from) / 60 - v.duration_minutes) / 60) + 1, 0) as slots,
  v.created_at
from public.vouchers v
left join public.voucher_templates t on t.id = v.terms ->> 'template';

comment on view private.voucher_facts is
  'What figures need of vouchers: the template that their terms name (null where none of that id is there), price, window and slots.';

grant select on private.voucher_facts to service_role, stats_reader;

create view private.booking_facts
as
select b.voucher_id, b.status, b.slot_start, b.slot_end, b.created_at, b.cancelled_at
from public.voucher_bookings b;

comment on view private.booking_facts is 'What figures need of bookings.';

grant select on private.booking_facts to service_role, stats_reader;

create view private.application_facts
as
select a.status, a.desired_loan, a.currency, a.created_at
from public.mortgage_applications a;

comment on view private.application_facts is 'What figures need of mortgage applications.';

grant select on private.application_facts to service_role, stats_reader;

create view private.offer_facts
as
select o.status, o.interest_rate, o.created_at, c.created_at as accepted_at
from public.mortgage_offers o
left join public.mortgage_contracts c on c.offer_id = o.id;

comment on view private.offer_facts is
  'What figures need of mortgage offers; an offer is accepted when its contract is made.';

grant select on private.offer_facts to service_role, stats_reader;

create view private.transfer_facts
as
select t.direction, t.network, t.fiat_amount, t.fiat_currency, t.created_at
from public.transfers t;

comment on view private.transfer_facts is 'What figures need of transfers.';

grant select on private.transfer_facts to service_role, stats_reader;

create view private.fee_event_facts
as
select
  f.fee_id,
  f.beneficiary_id,
  f.currency,
  f.amount_cents,
  f.reverses is not null as is_reversal,
  f.settlement_id is not null as is_settled,
  f.created_at
from public.fee_events f;

comment on view private.fee_event_facts is 'What figures need of fee events.';

grant select on private.fee_event_facts to service_role, stats_reader;

create view private.settlement_facts
as
select s.id, s.beneficiary_id, s.period_from, s.period_to, s.total_cents, s.currency, s.status, s.created_at
from public.settlements s;

comment on view private.settlement_facts is 'What figures need of settlements.';

grant select on private.settlement_facts to service_role, stats_reader;

create view private.event_facts
as
select e.type, e.actor_id, e.created_at
from public.events e;

comment on view private.event_facts is
  'What figures need of events: columns that events_created_at_idx holds, so that no figure reads an event itself.';

grant select on private.event_facts to service_role, stats_reader;

create view private.telemetry_facts
as
select t.type ~* 'error|fail' as is_error, t.created_at
from public.telemetry_events t;

comment on view private.telemetry_facts is
  'What figures need of what pages report: whether its type speaks of an error, as GET /api/autofix/status reads it.';

grant select on private.telemetry_facts to service_role, stats_reader;

create view private.invariant_facts
as
select 'bookings_do_not_overlap' as name, count(*) as violations,
  'Active bookings that begin before an earlier one of the same voucher has ended.' as meaning
from (
  select
    b.slot_start < max(b.slot_end) over (
      partition by b.voucher_id order by b.slot_start, b.id rows between unbounded preceding and 1 preceding
    ) as overlaps_another
  from public.voucher_bookings b
  where b.status = 'booked'
) b
where b.overlaps_another

union all
select 'voucher_status_agrees_with_bookings', count(*),
  'Vouchers with an active booking that are not booked (or consumed), that are booked without one of theirs being active, or whose '
  'holder has none. (An issuer may issue a voucher as booked: it has no bookings at all.)'
from public.vouchers v
join (
  select b.voucher_id, count(*) filter (where b.status = 'booked') as active,
    array_agg(b.holder_id) filter (where b.status = 'booked') as holders
  from public.voucher_bookings b
  group by b.voucher_id
) b on b.voucher_id = v.id
where (b.active > 0 and v.status not in ('booked', 'consumed'))
  or (b.active = 0 and v.status = 'booked')
  or (v.status = 'booked' and b.active > 0 and not coalesce(v.holder_id = any (b.holders), false))

union all
select 'every_booking_is_charged_once', count(*),
  'Bookings that lack the charge of a fee in a currency, or have it twice. A fee counts where it was in force for an hour before '
  'and after: who books in the moment of a change pays the old or the new price. A booking that was written as cancelled has none.'
from public.voucher_bookings b
join public.vouchers v on v.id = b.voucher_id
join (
  select f.*, lead(f.valid_from, 1, 'infinity') over (partition by f.fee_id order by f.valid_from, f.id) as valid_to
  from public.fee_versions f
) f
  on f.active and f.scope = 'voucher'
  and f.valid_from < b.created_at - interval '1 hour' and f.valid_to > b.created_at + interval '1 hour'
cross join lateral (
  select v.price_currency as currency where v.price_amount > 0 and f.percentage > 0
  union
  select f.currency where f.fixed_amount > 0
  union
  select f.currency where f.min_cents > 0 and (coalesce(v.price_amount, 0) = 0 or v.price_currency = f.currency)
) expected
where (
  select count(*)
  from public.fee_events e
  where e.subject_type = 'voucher_booking' and e.subject_id = b.id and e.fee_id = f.fee_id and e.reverses is null
    and e.currency = expected.currency
) not in (1, case b.status when 'cancelled' then 0 else 1 end)

union all
select 'every_cancellation_is_reversed_once', count(*),
  'Charges of a cancelled booking that are not taken back exactly, and reversals of a charge whose booking stands.'
from public.fee_events c
left join public.voucher_bookings b on b.id = c.subject_id
left join public.fee_events r on r.reverses = c.id
where c.reverses is null and c.subject_type = 'voucher_booking'
  and (
    (b.status is distinct from 'booked') <> (r.id is not null)
    or (r.amount_cents, r.currency, r.beneficiary_id, r.fee_id, r.subject_type, r.subject_id)
      <> (-c.amount_cents, c.currency, c.beneficiary_id, c.fee_id, c.subject_type, c.subject_id)
  )

union all
select 'every_charge_has_its_subject', count(*),
  'Fee events for a booking, a transfer or a mortgage that is not there.'
from public.fee_events e
where not case e.subject_type
  when 'voucher_booking' then exists (select from public.voucher_bookings b where b.id = e.subject_id)
  when 'transfer' then exists (select from public.transfers t where t.id = e.subject_id)
  when 'mortgage_contract' then exists (select from public.mortgage_contracts c where c.id = e.subject_id)
end

union all
select 'settlements_total_their_fee_events', count(*),
  'Settlements whose total is not the sum of their fee events; voided ones that still have some.'
from public.settlements s
left join (
  select e.settlement_id, sum(e.amount_cents) as total from public.fee_events e group by e.settlement_id
) e on e.settlement_id = s.id
where case s.status when 'voided' then e.settlement_id is not null else s.total_cents <> coalesce(e.total, 0) end

union all
select 'no_fee_event_is_in_two_settlements', count(*),
  'Charges, or their reversals, that were settled more than once, in whichever rows; and fee events in a settlement of somebody '
  'else or another currency.'
from (
  select from public.fee_events e
  where e.settlement_id is not null
  group by e.fee_id, e.subject_type, e.subject_id, e.currency, e.reverses
  having count(*) > 1
  union all
  select from public.fee_events e
  join public.settlements s on s.id = e.settlement_id
  where (s.beneficiary_id, s.currency) <> (e.beneficiary_id, e.currency)
) twice

union all
select 'every_accepted_offer_has_one_contract', count(*),
  'Accepted mortgage offers without a contract, and contracts of an offer that is not accepted.'
from public.mortgage_offers o
full join public.mortgage_contracts c on c.offer_id = o.id
where (o.status = 'accepted') <> (c.id is not null)

union all
select 'every_write_has_its_event', count(*),
  'Vouchers, bookings, cancellations, documents, applications, offers, accepted offers, signed contracts, transfers, reports of '
  'pages and settlements whose events are not as many as what was done to them, as long as events of their time are kept. '
  '(Heartbeats and the like leave no row of their own to compare with.)'
from (
  select 'voucher.issue' as type, v.id, v.created_at, 1 as times from public.vouchers v
  union all select 'voucher.book', b.id, b.created_at, 1 from public.voucher_bookings b
  union all select 'voucher.cancel', b.id, b.cancelled_at, 1 from public.voucher_bookings b where b.status = 'cancelled'
  union all select 'contract.upload', c.id::text, c.created_at, 1 from public.contracts c
  union all select 'mortgage.application', a.id, a.created_at, 1 from public.mortgage_applications a
  union all select 'mortgage.offer', o.id, o.created_at, 1 from public.mortgage_offers o
  union all select 'mortgage.accept', c.offer_id, c.created_at, 1 from public.mortgage_contracts c
  union all
  select 'mortgage.sign', c.id, least(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at),
    num_nonnulls(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at)
  from public.mortgage_contracts c
  union all select 'transfer.logged', t.id, t.created_at, 1 from public.transfers t
  union all select 'telemetry.event', t.id, t.created_at, 1 from public.telemetry_events t
  union all select 'settlement.created', s.id::text, s.created_at, 1 from public.settlements s
  union all select 'settlement.invoiced', s.id::text, s.invoiced_at, 1 from public.settlements s
  union all select 'settlement.paid', s.id::text, s.paid_at, 1 from public.settlements s
  union all select 'settlement.voided', s.id::text, s.voided_at, 1 from public.settlements s
) written
left join (
  select e.type, e.subject_id, count(*) as number
  from public.events e
  -- most of the log, and nothing of the above
  where e.type not like 'presence.%'
  group by e.type, e.subject_id
) logged on logged.type = written.type and logged.subject_id = written.id
-- what was not done yet has no time
where written.created_at > now() - (select s.events_kept from private.settings s)
  and coalesce(logged.number, 0) <> written.times;

comment on view private.invariant_facts is 'What stats.invariants shows.';

grant select on private.invariant_facts to service_role, stats_reader;

create view stats.days
with (security_invoker = true)
as
select
  day::date as day,
  -- right after the last moment of the day before, because a clock that is changed shows midnight twice, or not at all
  (day - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as starts_at,
  (day + interval '1 day' - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as ends_at
from private.calendar_facts c
-- of times without a zone, so that a day of 23 or 25 hours is one day
cross join generate_series(c.first_day::timestamp, c.today::timestamp, interval '1 day') as day;

comment on view stats.days is
  'Every day from the portal''s first row to today, ten years at most. With `where day between ...` the views by day read no more.';
comment on column stats.days.starts_at is
  'The first moment of the day in the time zone of private.settings; the ends_at of the day before is the same.';

grant select on stats.days to service_role, stats_reader;

create view stats.presence_now
with (security_invoker = true)
as
select count(*) as online
from private.presence_facts p
where p.is_online;

comment on view stats.presence_now is 'How many thinkers are online: one row (specification, 2.2).';

grant select on stats.presence_now to service_role, stats_reader;

create view stats.pair_codes
with (security_invoker = true)
as
select p.pair_code, count(*) as sessions, count(*) filter (where p.is_online) as online
from private.presence_facts p
where p.pair_code is not null
group by p.pair_code;

comment on view stats.pair_codes is
  'How many thinkers last came with each pair code, and how many of them are online (specification, 2.2).';

grant select on stats.pair_codes to service_role, stats_reader;

create view stats.presence_by_day
with (security_invoker = true)
as
select d.day, e.thinkers, e.heartbeats, e.matches, t.new_thinkers
from stats.days d
cross join lateral (
  select
    -- whom a job finds silent after midnight was there before it
    count(distinct e.actor_id) filter (where e.type <> 'presence.offline') as thinkers,
    count(*) filter (where e.type = 'presence.heartbeat') as heartbeats,
    count(*) filter (where e.type = 'presence.match') as matches
  from private.event_facts e
  where e.created_at >= d.starts_at and e.created_at < d.ends_at and e.type like 'presence.%'
) e
cross join lateral (
  select count(*) as new_thinkers
  from private.thinker_facts t
  where t.created_at >= d.starts_at and t.created_at < d.ends_at
) t;

comment on view stats.presence_by_day is
  'Who was there on each day, zeros included; as far back as events are kept (private.settings.events_kept).';
comment on column stats.presence_by_day.thinkers is 'Different thinkers of whom there is any event of presence but that they went offline.';
comment on column stats.presence_by_day.matches is 'How often a thinker came into a room: twice where two find each other.';
comment on column stats.presence_by_day.new_thinkers is 'Thinkers who were seen, or named, for the first time.';

grant select on stats.presence_by_day to service_role, stats_reader;

create view stats.vouchers_by_status
with (security_invoker = true)
as
select v.status, count(*) as vouchers
from private.voucher_facts v
group by v.status;

comment on view stats.vouchers_by_status is 'How many vouchers there are at present, by their status.';

grant select on stats.vouchers_by_status to service_role, stats_reader;

create view stats.bookings_by_day
with (security_invoker = true)
as
select
  d.day,
  (select count(*) from private.voucher_facts v where v.created_at >= d.starts_at and v.created_at < d.ends_at) as issued,
  (select count(*) from private.booking_facts b where b.created_at >= d.starts_at and b.created_at < d.ends_at) as bookings,
  (
    select count(*) from private.booking_facts b where b.cancelled_at >= d.starts_at and b.cancelled_at < d.ends_at
  ) as cancellations
from stats.days d;

comment on view stats.bookings_by_day is
  'Vouchers issued, appointments booked and appointments cancelled on each day, zeros included (specification, 2.2).';
comment on column stats.bookings_by_day.bookings is 'What was booked on that day, though it may have been cancelled since.';

grant select on stats.bookings_by_day to service_role, stats_reader;

create view stats.revenue_by_day
with (security_invoker = true)
as
select d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.bookings, r.amount_cents
from stats.days d
cross join lateral (
  select v.price_currency as currency, count(*) as bookings, sum(v.price_amount) as amount_cents
  from private.booking_facts b
  join private.voucher_facts v on v.id = b.voucher_id
  where b.created_at >= d.starts_at and b.created_at < d.ends_at
    and b.status = 'booked' and v.price_currency is not null
  group by v.price_currency
) r;

comment on view stats.revenue_by_day is
  'The prices of the bookings of each day that stand, by currency; what is cancelled later leaves its day. It is the issuers'' '
  'revenue: the portal''s own is in stats.fees_by_day.';
comment on column stats.revenue_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.revenue_by_day.amount_cents is 'The currency''s minor unit.';

grant select on stats.revenue_by_day to service_role, stats_reader;

create view stats.utilisation_by_day
with (security_invoker = true)
as
select
  d.day,
  u.template_id,
  u.title,
  round(sum(u.offered)::numeric, 2) as offered_minutes,
  round(sum(u.booked)::numeric, 2) as booked_minutes
from stats.days d
cross join lateral (
  -- what lies in slots until the day's end, without what lies in slots until its beginning
  select
    v.template_id,
    v.template_title as title,
    sum(
      edge.sign * case
        -- appointments of an hour and more touch, or overlap; shorter ones leave the rest of each hour out
        when v.duration_minutes >= 60 then least(edge.minutes, (v.slots - 1) * 60 + v.duration_minutes)
        when edge.minutes >= v.slots * 60 then v.slots * v.duration_minutes
        else floor(edge.minutes / 60) * v.duration_minutes + least(edge.minutes - floor(edge.minutes / 60) * 60, v.duration_minutes)
      end
    ) as offered,
    0 as booked
  from private.voucher_facts v
  cross join lateral (
    values
      (1, greatest(date_part('epoch', d.ends_at - v.valid_from) / 60, 0)),
      (-1, greatest(date_part('epoch', d.starts_at - v.valid_from) / 60, 0))
  ) edge (sign, minutes)
  where tstzrange(v.valid_from, v.valid_until) && tstzrange(d.starts_at, d.ends_at) and v.slots > 0 and v.status <> 'cancelled'
  group by v.template_id, v.template_title

  union all

  select
    v.template_id, v.template_title, 0,
    sum(date_part('epoch', least(b.slot_end, d.ends_at) - greatest(b.slot_start, d.starts_at)) / 60)
  from private.booking_facts b
  -- offset 0: looked up one by one, because the planner, which cannot know how few bookings a day has, would read all vouchers
  cross join lateral (select * from private.voucher_facts v where v.id = b.voucher_id offset 0) v
  where tstzrange(b.slot_start, b.slot_end) && tstzrange(d.starts_at, d.ends_at) and b.status = 'booked' and v.status <> 'cancelled'
  group by v.template_id, v.template_title
) u
group by d.day, u.template_id, u.title
having sum(u.offered) > 0 or sum(u.booked) > 0;

comment on view stats.utilisation_by_day is
  'How many minutes vouchers offered on each day, and how many of them were booked, by template (null: none that is known). '
  'Utilisation of a period is the one sum through the other. A template has no row on a day without both.';
comment on column stats.utilisation_by_day.offered_minutes is
  'Minutes of that day that lie in a slot of a voucher that is not cancelled; minutes in which slots overlap count once.';
comment on column stats.utilisation_by_day.booked_minutes is 'Minutes of that day in appointments that stand, of a voucher that is not cancelled.';

grant select on stats.utilisation_by_day to service_role, stats_reader;

create view stats.applications_by_status
with (security_invoker = true)
as
select a.status, count(*) as applications
from private.application_facts a
group by a.status;

comment on view stats.applications_by_status is 'How many mortgage applications there are at present, by their status.';

grant select on stats.applications_by_status to service_role, stats_reader;

create view stats.requested_by_day
with (security_invoker = true)
as
select d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.applications, r.amount_cents
from stats.days d
cross join lateral (
  select a.currency, count(*) as applications, sum(a.desired_loan) as amount_cents
  from private.application_facts a
  where a.created_at >= d.starts_at and a.created_at < d.ends_at and a.currency is not null
  group by a.currency
) r;

comment on view stats.requested_by_day is 'The loans asked for on each day, by currency; applications without an amount are left out.';
comment on column stats.requested_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.requested_by_day.amount_cents is 'The currency''s minor unit.';

grant select on stats.requested_by_day to service_role, stats_reader;

create view stats.offers_by_day
with (security_invoker = true)
as
select d.day, o.*
from stats.days d
cross join lateral (
  select
    o.status,
    count(*) as offers,
    count(o.interest_rate) as rates,
    sum(o.interest_rate) as rates_total,
    min(o.interest_rate) as lowest_rate,
    max(o.interest_rate) as highest_rate
  from private.offer_facts o
  where o.created_at >= d.starts_at and o.created_at < d.ends_at
  group by o.status
) o;

comment on view stats.offers_by_day is 'The mortgage offers made on each day, by what became of them since.';
comment on column stats.offers_by_day.rates is 'How many of them name an interest rate; rates_total / rates is the average.';
comment on column stats.offers_by_day.rates_total is 'The sum of the interest rates, fractions a year: 0.031 is 3.1 percent.';

grant select on stats.offers_by_day to service_role, stats_reader;

create view stats.mortgages_by_day
with (security_invoker = true)
as
select
  d.day,
  (
    select count(*) from private.application_facts a where a.created_at >= d.starts_at and a.created_at < d.ends_at
  ) as applications,
  (select count(*) from private.offer_facts o where o.created_at >= d.starts_at and o.created_at < d.ends_at) as offers,
  (select count(*) from private.offer_facts o where o.accepted_at >= d.starts_at and o.accepted_at < d.ends_at) as accepted
from stats.days d;

comment on view stats.mortgages_by_day is 'Mortgages applied for, offered and accepted on each day, zeros included.';

grant select on stats.mortgages_by_day to service_role, stats_reader;

create view stats.transfers_by_day
with (security_invoker = true)
as
select
  c.day, c.network, c.currency, private.currency_exponent(c.currency) as decimals,
  c.transfers, c.in_cents, c.out_cents, c.in_cents - c.out_cents as net_cents
from (
  select
    d.day, t.network, private.currency_code(t.fiat_currency) as currency,
    sum(t.transfers) as transfers, coalesce(sum(t.in_cents), 0) as in_cents, coalesce(sum(t.out_cents), 0) as out_cents
  from stats.days d
  -- added up as they were written first, because the code of a currency takes longer than the sum
  cross join lateral (
    select
      t.network,
      t.fiat_currency,
      count(*) as transfers,
      sum(t.fiat_amount) filter (where t.direction = 'in') as in_cents,
      sum(t.fiat_amount) filter (where t.direction = 'out') as out_cents
    from private.transfer_facts t
    where t.created_at >= d.starts_at and t.created_at < d.ends_at
    group by t.network, t.fiat_currency
  ) t
  group by d.day, t.network, private.currency_code(t.fiat_currency)
) c;

comment on view stats.transfers_by_day is
  'What was logged in and out on each day, by network (null where none was named) and currency as fees count it (private.currency_code; '
  'specification, 2.2). A negative transfer is a correction, and takes off its own direction.';
comment on column stats.transfers_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.transfers_by_day.net_cents is 'In without out; the currency''s minor unit, like both.';

grant select on stats.transfers_by_day to service_role, stats_reader;

-- a barrier, because a reader's own function in a condition would be shown the uids of all thinkers
create view stats.fees_by_day
with (security_invoker = true, security_barrier = true)
as
select
  d.day, f.fee_id, b.uid as beneficiary_uid, f.currency, private.currency_exponent(f.currency) as decimals,
  f.fee_events, f.charged_cents, f.reversed_cents,
  f.charged_cents + f.reversed_cents as accrued_cents,
  f.settled_cents,
  f.charged_cents + f.reversed_cents - f.settled_cents as open_cents
from stats.days d
cross join lateral (
  select
    f.fee_id,
    f.beneficiary_id,
    f.currency,
    count(*) as fee_events,
    coalesce(sum(f.amount_cents) filter (where not f.is_reversal), 0) as charged_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_reversal), 0) as reversed_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_settled), 0) as settled_cents
  from private.fee_event_facts f
  where f.created_at >= d.starts_at and f.created_at < d.ends_at
  group by f.fee_id, f.beneficiary_id, f.currency
) f
join private.thinker_facts b on b.id = f.beneficiary_id;

comment on view stats.fees_by_day is
  'What was charged and taken back on each day, by fee, beneficiary and currency. Amounts are in the currency''s minor unit.';
comment on column stats.fees_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.fees_by_day.reversed_cents is 'What was taken back: not positive.';
comment on column stats.fees_by_day.accrued_cents is 'Charged and reversed together.';
comment on column stats.fees_by_day.settled_cents is 'The part of it that is in a settlement by now, whatever its status; the rest is open_cents.';

grant select on stats.fees_by_day to service_role, stats_reader;

-- a barrier, because a reader's own function in a condition would be shown the uids of all thinkers
create view stats.settlements
with (security_invoker = true, security_barrier = true)
as
select
  s.id, b.uid as beneficiary_uid, s.period_from, s.period_to, s.total_cents, s.currency,
  private.currency_exponent(s.currency) as decimals, s.status, s.created_at
from private.settlement_facts s
join private.thinker_facts b on b.id = s.beneficiary_id;

comment on view stats.settlements is 'Every settlement: who is owed how much for which period, and what became of it.';
comment on column stats.settlements.period_to is 'The first day that no longer belongs to the period.';
comment on column stats.settlements.total_cents is 'The currency''s minor unit; a voided settlement keeps its total.';
comment on column stats.settlements.decimals is 'Of the currency''s minor unit.';

grant select on stats.settlements to service_role, stats_reader;

-- a barrier, because a reader's own function in a condition would be shown the uids of all thinkers
create view stats.owed
with (security_invoker = true, security_barrier = true)
as
select
  b.uid as beneficiary_uid, o.currency, private.currency_exponent(o.currency) as decimals,
  o.unsettled_cents, o.open_cents, o.invoiced_cents, o.paid_cents,
  o.unsettled_cents + o.open_cents + o.invoiced_cents as owed_cents
from (
  select
    due.beneficiary_id,
    due.currency,
    coalesce(sum(due.cents) filter (where due.status = 'unsettled'), 0) as unsettled_cents,
    coalesce(sum(due.cents) filter (where due.status = 'open'), 0) as open_cents,
    coalesce(sum(due.cents) filter (where due.status = 'invoiced'), 0) as invoiced_cents,
    coalesce(sum(due.cents) filter (where due.status = 'paid'), 0) as paid_cents
  from (
    select f.beneficiary_id, f.currency, 'unsettled' as status, sum(f.amount_cents) as cents
    from private.fee_event_facts f
    where not f.is_settled
    group by f.beneficiary_id, f.currency
    union all
    select s.beneficiary_id, s.currency, s.status, sum(s.total_cents)
    from private.settlement_facts s
    where s.status <> 'voided'
    group by s.beneficiary_id, s.currency, s.status
  ) due
  group by due.beneficiary_id, due.currency
) o
join private.thinker_facts b on b.id = o.beneficiary_id;

comment on view stats.owed is
  'What is owed to whom at present, of all time, by currency. Amounts are in the currency''s minor unit, negative where more was taken '
  'back than charged. What a voided settlement released is unsettled again.';
comment on column stats.owed.unsettled_cents is 'Fee events in no settlement.';
comment on column stats.owed.open_cents is 'Settlements that did not go out yet.';
comment on column stats.owed.invoiced_cents is 'Settlements that went out and were not paid.';
comment on column stats.owed.owed_cents is 'Unsettled, open and invoiced together.';

grant select on stats.owed to service_role, stats_reader;

create view stats.events_by_day
with (security_invoker = true)
as
select d.day, e.type, e.events
from stats.days d
cross join lateral (
  select e.type, count(*) as events
  from private.event_facts e
  where e.created_at >= d.starts_at and e.created_at < d.ends_at
  group by e.type
) e;

comment on view stats.events_by_day is 'How many events of each type there were on each day, as far back as events are kept.';

grant select on stats.events_by_day to service_role, stats_reader;

create view stats.errors_by_day
with (security_invoker = true)
as
select d.day, r.reports, r.errors
from stats.days d
cross join lateral (
  select count(*) as reports, count(*) filter (where r.is_error) as errors
  from private.telemetry_facts r
  where r.created_at >= d.starts_at and r.created_at < d.ends_at
) r;

comment on view stats.errors_by_day is 'What the portal''s pages reported on each day, and how much of it were errors; zeros included.';

grant select on stats.errors_by_day to service_role, stats_reader;

-- as before, for readers who have no rights on the tables behind it
create or replace view stats.invariants
with (security_invoker = true)
as
select i.name, i.violations, i.meaning
from private.invariant_facts i;

comment on view stats.invariants is
  'What must always be true, one row a rule: its name, how many rows break it (0), and what would break it.';

grant select on stats.invariants to service_role, stats_reader;

create function private.stats_period(inout from_day date, inout to_day date, out answer jsonb)
language plpgsql
stable
set search_path = ''
as $$
declare
  time_zone text;
  today     date;
begin
  select s.time_zone, (now() at time zone s.time_zone)::date into time_zone, today from private.settings s;

  -- in years that clients can read; three of them at most
  to_day := coalesce(to_day, today);
  if to_day between '0001-02-01' and '9999-12-31' then
    from_day := coalesce(from_day, to_day - 29);
  end if;
  -- in this order: of infinite days nothing can be subtracted
  if not coalesce(
    to_day <= '9999-12-31' and from_day between '0001-01-01' and to_day and to_day - from_day < 1096, false
  ) then
    raise sqlstate 'PT400' using message = 'days_invalid';
  end if;

  answer := jsonb_build_object('from_day', from_day, 'to_day', to_day, 'time_zone', time_zone);
end;
$$;

comment on function private.stats_period is
  'The period of a dashboard, both days included: until today in the portal''s time zone where to_day is null, 30 days where from_day '
  'is. Returns it, and with what the answer begins: {from_day, to_day, time_zone}. Refuses: days_invalid (400), for more than 1,096 days '
  'or none.';

create function public.presence_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period record;
begin
  perform private.require_admin();
  period := private.stats_period(presence_stats.from_day, presence_stats.to_day);

  return period.answer || jsonb_build_object(
    'online', (select n.online from stats.presence_now n),
    'pair_codes', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.sessions desc, c.online desc, c.pair_code), '[]')
      from (
        select * from stats.pair_codes p order by p.sessions desc, p.online desc, p.pair_code limit 20
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.presence_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.presence_stats is
  'The figures of presence for a period of days (private.stats_period): {from_day, to_day, time_zone, online and pair_codes (the 20 most used) '
  'at present, days (stats.presence_by_day)}. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.presence_stats to authenticated, service_role;

create function public.voucher_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period  record;
  days    jsonb;
  revenue jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(voucher_stats.from_day, voucher_stats.to_day);

  select
    jsonb_build_object(
      'bookings', coalesce(sum(d.bookings), 0),
      'cancellations', coalesce(sum(d.cancellations), 0),
      'days', coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
    )
  into days
  from stats.bookings_by_day d
  where d.day between period.from_day and period.to_day;

  with by_day as materialized (
    select * from stats.revenue_by_day r where r.day between period.from_day and period.to_day
  ),
  used as (
    select r.currency, r.decimals, sum(r.bookings) as bookings, sum(r.amount_cents) as amount_cents
    from by_day r
    group by r.currency, r.decimals
    order by bookings desc, r.currency
    limit 24
  )
  select jsonb_build_object(
    'revenue', (select coalesce(jsonb_agg(to_jsonb(u) order by u.bookings desc, u.currency), '[]') from used u),
    'revenue_days', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.day, r.currency), '[]')
      from by_day r
      where r.currency in (select u.currency from used u)
    )
  )
  into revenue;

  return period.answer || days || revenue || jsonb_build_object(
    'vouchers', (
      select jsonb_object_agg(known.status, coalesce(v.vouchers, 0))
      from unnest(array['issued', 'booked', 'consumed', 'cancelled', 'expired']) as known (status)
      left join stats.vouchers_by_status v on v.status = known.status
    ),
    'templates', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.offered_minutes desc, t.template_id), '[]')
      from (
        select
          u.template_id, u.title, sum(u.offered_minutes) as offered_minutes, sum(u.booked_minutes) as booked_minutes,
          round(sum(u.booked_minutes) / nullif(sum(u.offered_minutes), 0), 4) as utilisation
        from stats.utilisation_by_day u
        where u.day between period.from_day and period.to_day
        group by u.template_id, u.title
      ) t
    )
  );
end;
$$;

comment on function public.voucher_stats is
  'The figures of vouchers and appointments for a period of days (private.stats_period): {from_day, to_day, time_zone, vouchers (at present, '
  'by status), bookings, cancellations, days (stats.bookings_by_day), revenue and revenue_days (stats.revenue_by_day, of the 24 most used '
  'currencies), templates (offered and booked minutes and utilisation, a fraction: stats.utilisation_by_day)}. '
  'Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.voucher_stats to authenticated, service_role;

create function public.mortgage_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period record;
  offers jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(mortgage_stats.from_day, mortgage_stats.to_day);

  select jsonb_build_object(
    'offers', jsonb_build_object(
      'open', coalesce(sum(o.offers) filter (where o.status = 'open'), 0),
      'accepted', coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0),
      'withdrawn', coalesce(sum(o.offers) filter (where o.status = 'withdrawn'), 0)
    ),
    'acceptance_rate', round(coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0) / nullif(sum(o.offers), 0), 4),
    'interest', jsonb_build_object(
      'offers', coalesce(sum(o.rates), 0),
      'average', round(sum(o.rates_total) / nullif(sum(o.rates), 0), 6),
      'minimum', min(o.lowest_rate),
      'maximum', max(o.highest_rate)
    )
  )
  into offers
  from stats.offers_by_day o
  where o.day between period.from_day and period.to_day;

  return period.answer || offers || jsonb_build_object(
    'applications', (
      select jsonb_object_agg(known.status, coalesce(a.applications, 0))
      from unnest(array['open', 'offered', 'accepted', 'rejected']) as known (status)
      left join stats.applications_by_status a on a.status = known.status
    ),
    'requested', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.applications desc, r.currency), '[]')
      from (
        select r.currency, r.decimals, sum(r.applications) as applications, sum(r.amount_cents) as amount_cents
        from stats.requested_by_day r
        where r.day between period.from_day and period.to_day
        group by r.currency, r.decimals
        order by applications desc, r.currency
        limit 24
      ) r
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.mortgages_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.mortgage_stats is
  'The figures of mortgages for a period of days (private.stats_period): {from_day, to_day, time_zone, applications (at present, by status), '
  'offers (made in the period, by status), acceptance_rate (accepted of all that were made in the period), interest (fractions a year), '
  'requested (the 24 most used currencies), days (stats.mortgages_by_day)}. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.mortgage_stats to authenticated, service_role;

create function public.telbank_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period record;
  flows  jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(telbank_stats.from_day, telbank_stats.to_day);

  with by_day as materialized (
    select * from stats.transfers_by_day t where t.day between period.from_day and period.to_day
  ),
  flows as (
    select
      t.network, t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
      sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
    from by_day t
    group by t.network, t.currency, t.decimals
    order by transfers desc, t.currency, t.network
    limit 24
  )
  select jsonb_build_object(
    'totals', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.transfers desc, s.currency), '[]')
      from (
        select
          t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
          sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
        from by_day t
        group by t.currency, t.decimals
        order by transfers desc, t.currency
        limit 24
      ) s
    ),
    'flows', (
      select coalesce(
        jsonb_agg(to_jsonb(f) || jsonb_build_object('network', left(f.network, 200)) order by f.transfers desc, f.currency, f.network),
        '[]'
      )
      from flows f
    ),
    'days', (
      select coalesce(
        jsonb_agg(to_jsonb(t) || jsonb_build_object('network', left(t.network, 200)) order by t.day, t.currency, t.network), '[]'
      )
      from by_day t
      where exists (select from flows f where (f.network, f.currency) is not distinct from (t.network, t.currency))
    )
  )
  into flows;

  return period.answer || flows;
end;
$$;

comment on function public.telbank_stats is
  'The figures of transfers for a period of days (private.stats_period): {from_day, to_day, time_zone, totals (by currency), flows (by network '
  'and currency), days (stats.transfers_by_day, of the networks and currencies in flows)}; the 24 most used of each, of a '
  'network''s name the first 200 characters. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.telbank_stats to authenticated, service_role;

create function public.fee_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period  record;
  charged jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(fee_stats.from_day, fee_stats.to_day);

  with by_day as materialized (
    select * from stats.fees_by_day f where f.day between period.from_day and period.to_day
  ),
  used as (
    select f.currency from by_day f group by f.currency order by sum(f.fee_events) desc, f.currency limit 24
  )
  select jsonb_build_object(
    'charged', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.beneficiary_uid, c.currency), '[]')
      from (
        select
          f.beneficiary_uid, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.accrued_cents) as accrued_cents,
          sum(f.settled_cents) as settled_cents, sum(f.open_cents) as open_cents
        from by_day f
        group by f.beneficiary_uid, f.currency, f.decimals
        order by fee_events desc, f.beneficiary_uid, f.currency
        limit 100
      ) c
    ),
    'fees', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.fee_id, c.currency), '[]')
      from (
        select f.fee_id, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.accrued_cents) as amount_cents
        from by_day f
        group by f.fee_id, f.currency, f.decimals
        order by fee_events desc, f.fee_id, f.currency
        limit 100
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.day, c.currency), '[]')
      from (
        select
          f.day, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.charged_cents) as charged_cents,
          sum(f.reversed_cents) as reversed_cents, sum(f.accrued_cents) as accrued_cents
        from by_day f
        where f.currency in (select u.currency from used u)
        group by f.day, f.currency, f.decimals
      ) c
    )
  )
  into charged;

  return period.answer || charged || jsonb_build_object(
    'owed', (
      select coalesce(jsonb_agg(to_jsonb(o) order by o.owed_cents desc, o.beneficiary_uid, o.currency), '[]')
      from (
        select * from stats.owed o order by o.owed_cents desc, o.beneficiary_uid, o.currency limit 100
      ) o
    )
  );
end;
$$;

comment on function public.fee_stats is
  'The figures of fees and settlements for a period of days (private.stats_period): {from_day, to_day, time_zone, owed (stats.owed, at present), '
  'charged (by beneficiary and currency: accrued, settled, open), fees (by fee and currency), days (by currency)}; at most 100 rows of '
  'each, and days of the 24 most used currencies. Amounts are in the currency''s minor unit. '
  'Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.fee_stats to authenticated, service_role;

create function public.system_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
-- for the invariants, which would use the disc
set work_mem = '64MB'
as $$
declare
  most_events constant bigint := 5000000;
  period      record;
  events      jsonb;
  invariants  jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(system_stats.from_day, system_stats.to_day);

  with by_day as materialized (
    select * from stats.events_by_day e where e.day between period.from_day and period.to_day
  )
  select jsonb_build_object(
    'types', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.events desc, t.type), '[]')
      from (
        select e.type, sum(e.events) as events from by_day e group by e.type order by events desc, e.type limit 100
      ) t
    ),
    'days', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('day', r.day, 'events', coalesce(e.events, 0), 'errors', r.errors) order by r.day
        ),
        '[]'
      )
      from stats.errors_by_day r
      left join (select e.day, sum(e.events) as events from by_day e group by e.day) e on e.day = r.day
      where r.day between period.from_day and period.to_day
    )
  )
  into events;

  -- they read every table whole: of a large log, as of vacuum, the job check-invariants tells
  if most_events > (
    select coalesce(sum(c.reltuples), 0)
    from pg_catalog.pg_inherits p
    join pg_catalog.pg_class c on c.oid = p.inhrelid
    where p.inhparent = 'public.events'::regclass
  ) then
    select jsonb_agg(to_jsonb(i) order by i.name) into invariants from stats.invariants i;
  end if;

  return period.answer || events || jsonb_build_object(
    'clock', exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron'),
    'jobs', (select coalesce(jsonb_agg(to_jsonb(j) order by j.name), '[]') from stats.jobs j),
    'invariants', invariants
  );
end;
$$;

comment on function public.system_stats is
  'The figures of the system for a period of days (private.stats_period): {from_day, to_day, time_zone, types (events by type, the 100 '
  'most frequent), days (events, and the errors that pages reported), clock (whether pg_cron is there to run the jobs), jobs '
  '(stats.jobs), invariants (stats.invariants; null where there are more than five million events, because every table is read '
  'whole for them: the job check-invariants does it daily)}. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.system_stats to authenticated, service_role;

create view private.job_facts
as
select
  j.name,
  j.does,
  j.schedule,
  greatest(good.started_at, bad.started_at) as last_run_at,
  good.started_at as last_good_run_at,
  coalesce(good.started_at, j.added_at) < now() - j.late_after as is_late,
  good.done as last_done,
  bad.started_at as last_error_at,
  bad.error as last_error
from private.jobs j
left join lateral (
  select r.started_at, r.done
  from private.job_runs r
  where r.job = j.name and r.done is not null
  order by r.started_at desc
  limit 1
) good on true
left join lateral (
  select r.started_at, r.error
  from private.job_runs r
  where r.job = j.name and r.error is not null
  order by r.started_at desc
  limit 1
) bad on true;

comment on view private.job_facts is 'What stats.jobs shows.';

grant select on private.job_facts to service_role, stats_reader;

-- as before, for readers who have no rights on the tables behind it
create or replace view stats.jobs
with (security_invoker = true)
as
select
  j.name, j.does, j.schedule, j.last_run_at, j.last_good_run_at, j.is_late, j.last_done, j.last_error_at, j.last_error,
  case
    when j.last_error_at = j.last_run_at then 'failed'
    when j.is_late then 'late'
    when j.last_run_at is null then 'waiting'
    else 'good'
  end as state
from private.job_facts j
order by j.name;

comment on view stats.jobs is 'Each job: when it last ran, whether it is late, its last error, and its state in a word.';
comment on column stats.jobs.last_good_run_at is 'When the last run began that did not fail.';
comment on column stats.jobs.is_late is 'True when that is longer ago than the job may wait; for one that never ran well, when it was added.';
comment on column stats.jobs.last_done is 'How many things the last good run did.';
comment on column stats.jobs.state is
  'failed: its last run did; late: it should have run well since; waiting: it is new, and had no time to run yet; good otherwise.';

grant select on stats.jobs to service_role, stats_reader;

-- whoever was let read both views before goes on
do $$
declare
  reader record;
begin
  for reader in
    select distinct c.relname as view, a.grantee
    from pg_catalog.pg_class c
    cross join lateral aclexplode(c.relacl) a
    where c.oid in ('stats.jobs'::regclass, 'stats.invariants'::regclass)
      and a.privilege_type = 'SELECT' and a.grantee not in (0, c.relowner)
  loop
    execute format(
      'grant select on private.%s to %s',
      case reader.view when 'jobs' then 'job_facts' else 'invariant_facts' end, reader.grantee::regrole
    );
  end loop;
end;
$$;
