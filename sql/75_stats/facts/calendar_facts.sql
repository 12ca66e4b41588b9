create view private.calendar_facts
as
select
  s.time_zone,
  today.day as today,
  -- at most ten years, even if a row is dated further back
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
  'The portal''s time zone, the current day there, and the day of the portal''s first row. Read by stats.days.';

grant select on private.calendar_facts to service_role, stats_reader;
