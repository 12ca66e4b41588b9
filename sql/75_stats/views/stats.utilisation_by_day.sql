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
  -- minutes in slots until the end of the day, minus minutes in slots until its beginning
  select
    v.template_id,
    v.template_title as title,
    sum(
      case
        -- slots of an hour or more touch or overlap; shorter ones leave a gap in each hour
        when v.duration_minutes >= 60 then v.ends - v.starts
        else (floor(v.ends / 60) - floor(v.starts / 60)) * v.duration_minutes
          + least(v.ends - floor(v.ends / 60) * 60, v.duration_minutes)
          - least(v.starts - floor(v.starts / 60) * 60, v.duration_minutes)
      end
    ) as offered,
    0 as booked
  from (
    select
      v.template_id, v.template_title, v.duration_minutes,
      least(
        greatest(date_part('epoch', d.starts_at - v.valid_from) / 60, 0),
        (v.slots - 1) * 60 + greatest(v.duration_minutes, 60)
      ) as starts,
      least(
        greatest(date_part('epoch', d.ends_at - v.valid_from) / 60, 0),
        (v.slots - 1) * 60 + greatest(v.duration_minutes, 60)
      ) as ends
    from private.voucher_facts v
    where tstzrange(v.valid_from, v.valid_until) && tstzrange(d.starts_at, d.ends_at)
      and v.slots > 0
      and v.status <> 'cancelled'
  ) v
  group by v.template_id, v.template_title

  union all

  select
    v.template_id, v.template_title, 0,
    sum(date_part('epoch', least(b.slot_end, d.ends_at) - greatest(b.slot_start, d.starts_at)) / 60)
  from private.booking_facts b
  -- offset 0 forces a look-up of each voucher: the planner overestimates a day's bookings, and would read all vouchers
  cross join lateral (select * from private.voucher_facts v where v.id = b.voucher_id offset 0) v
  where tstzrange(b.slot_start, b.slot_end) && tstzrange(d.starts_at, d.ends_at)
    and b.status = 'booked'
    and v.status <> 'cancelled'
  group by v.template_id, v.template_title
) u
group by d.day, u.template_id, u.title
having sum(u.offered) > 0 or sum(u.booked) > 0;

comment on view stats.utilisation_by_day is
  'The minutes that vouchers offered on each day, and how many of them are booked, by template (null: unknown '
  'template). The utilisation of a period is the quotient of the two sums. Days without either have no row.';
comment on column stats.utilisation_by_day.offered_minutes is
  'Minutes of that day in slots of vouchers that are not cancelled; overlapping slots count once.';
comment on column stats.utilisation_by_day.booked_minutes is
  'Minutes of that day in active bookings of vouchers that are not cancelled.';

grant select on stats.utilisation_by_day to service_role, stats_reader;
