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
