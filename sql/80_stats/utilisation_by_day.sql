create view stats.utilisation_by_day
with (security_invoker = true)
as
select
  d.day,
  v.template_id,
  v.template_title as title,
  round(sum(offered.until_end - offered.until_start), 2) as offered_minutes,
  round(coalesce(sum(booked.minutes), 0), 2) as booked_minutes
from stats.days d
join private.voucher_facts v
  on tstzrange(v.valid_from, v.valid_until) && tstzrange(d.starts_at, d.ends_at) and v.status <> 'cancelled' and v.slots > 0
-- the minutes within slots, from valid_from to the day's two ends. Appointments of an hour and more touch, or overlap;
-- shorter ones leave the rest of each hour free
cross join lateral (
  select
    sum(m.minutes) filter (where m.is_end) as until_end,
    sum(m.minutes) filter (where not m.is_end) as until_start
  from (
    select
      edge.is_end,
      case
        when v.duration_minutes >= 60 then least(edge.minutes, (v.slots - 1) * 60 + v.duration_minutes)
        else
          least(floor(edge.minutes / 60), v.slots) * v.duration_minutes
          + case when floor(edge.minutes / 60) < v.slots then least(mod(edge.minutes, 60), v.duration_minutes) else 0 end
      end as minutes
    from (
      values
        (true, greatest(extract(epoch from d.ends_at - v.valid_from) / 60, 0)),
        (false, greatest(extract(epoch from d.starts_at - v.valid_from) / 60, 0))
    ) edge (is_end, minutes)
  ) m
) offered
cross join lateral (
  select sum(extract(epoch from least(b.slot_end, d.ends_at) - greatest(b.slot_start, d.starts_at)) / 60) as minutes
  from private.booking_facts b
  where b.voucher_id = v.id and b.status = 'booked' and tstzrange(b.slot_start, b.slot_end) && tstzrange(d.starts_at, d.ends_at)
) booked
group by d.day, v.template_id, v.template_title;

comment on view stats.utilisation_by_day is
  'How many minutes vouchers offered on each day, and how many of them were booked, by template (null: none that is known). '
  'Utilisation of a period is the one sum through the other. Only of days with something offered.';
comment on column stats.utilisation_by_day.offered_minutes is
  'Minutes of that day that lie in a slot of a voucher that is not cancelled; minutes in which slots overlap count once.';
comment on column stats.utilisation_by_day.booked_minutes is 'Minutes of that day in appointments that stand.';

grant select on stats.utilisation_by_day to service_role, stats_reader;
