-- The minutes of four weeks are reckoned at once, with one look-up of each of their vouchers, because a voucher offers
-- many days. A materialized query runs when its first row is read: not for four weeks of which no day is asked for.
create view stats.utilisation_by_day
with (security_invoker = true)
as
select
  u.day,
  u.template_id,
  u.title,
  round(coalesce(sum(u.minutes) filter (where not u.is_booking), 0)::numeric, 2) as offered_minutes,
  round(coalesce(sum(u.minutes) filter (where u.is_booking), 0)::numeric, 2) as booked_minutes
from private.calendar_facts c
-- the four weeks up to today, those before, and so on; the calendar has at most ten years
cross join generate_series(0, 130) as weeks (ago)
cross join lateral (
  with days as materialized (
    select
      d.number,
      d.starts_at,
      d.ends_at,
      -- all times are minutes since the begin of the four weeks
      date_part('epoch', d.starts_at - min(d.starts_at) over ()) / 60 as starts,
      date_part('epoch', d.ends_at - min(d.starts_at) over ()) / 60 as ends
    from (
      select
        n as number,
        -- as in stats.days, which begins with the portal's first day
        (day - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as starts_at,
        (day + interval '1 day' - interval '1 microsecond') at time zone c.time_zone
          + interval '1 microsecond' as ends_at
      from generate_series(1, 28) as n
      cross join lateral (select (c.today - 28 * (weeks.ago + 1) + n)::timestamp as day) named
    ) d
  ),

  whole as materialized (
    select
      min(d.starts_at) as starts_at, max(d.ends_at) as ends_at,
      array_agg(d.starts order by d.number) || max(d.ends) as bounds
    from days d
  ),

  vouchers as materialized (
    select
      v.id,
      v.template_id,
      v.template_title as title,
      v.slots > 0 as has_slots,
      v.status = 'cancelled' as is_cancelled,
      -- slots of an hour or more touch or overlap; shorter ones leave a gap in each hour
      least(v.duration_minutes, 60) as minutes_an_hour,
      date_part('epoch', v.valid_from - w.starts_at) / 60 as starts,
      date_part('epoch', v.valid_from - w.starts_at) / 60
      + (v.slots - 1) * 60
      + greatest(v.duration_minutes, 60) as ends
    from whole w
    join private.voucher_facts v on tstzrange(v.valid_from, v.valid_until) && tstzrange(w.starts_at, w.ends_at)
  ),

  -- what lasts from one time to another, and in each hour as many minutes
  spans as (
    select v.template_id, v.title, false as is_booking, v.minutes_an_hour, v.starts, v.ends
    from vouchers v
    where v.has_slots and not v.is_cancelled
    union all
    select
      coalesce(v.template_id, other.template_id), coalesce(v.title, other.template_title), true, 60,
      date_part('epoch', b.slot_start - w.starts_at) / 60, date_part('epoch', b.slot_end - w.starts_at) / 60
    from whole w
    join private.booking_facts b
      on tstzrange(b.slot_start, b.slot_end) && tstzrange(w.starts_at, w.ends_at) and b.status = 'booked'
    left join vouchers v on v.id = b.voucher_id
    -- a booking beyond the period of its voucher; offset 0, because a join would read all vouchers
    left join lateral (
      select o.template_id, o.template_title, o.status = 'cancelled' as is_cancelled
      from private.voucher_facts o
      where o.id = b.voucher_id and v.id is null
      offset 0
    ) other on true
    where not coalesce(v.is_cancelled, other.is_cancelled)
  ),

  numbered as materialized (
    select
      s.template_id, s.title, s.is_booking, s.minutes_an_hour, s.starts, s.ends,
      -- 0 is before the four weeks, 29 after them
      width_bucket(s.starts, w.bounds) as first_day,
      width_bucket(s.ends, w.bounds) as last_day,
      -- the times below are minutes since the begin of the span
      least(s.ends, w.bounds[width_bucket(s.starts, w.bounds) + 1]) - s.starts as first_ends,
      w.bounds[width_bucket(s.ends, w.bounds)] - s.starts as last_starts,
      s.ends - s.starts as last_ends
    from spans s
    cross join whole w
  ),

  -- the minutes of the first and the last day of each span; on each day between them it lasts all day
  parts as materialized (
    select
      s.first_day as number, s.template_id, s.title, s.is_booking,
      sum(
        floor(s.first_ends / 60) * s.minutes_an_hour
        + least(s.first_ends - floor(s.first_ends / 60) * 60, s.minutes_an_hour)
      ) as minutes,
      coalesce(sum(s.minutes_an_hour) filter (where s.first_day < s.last_day), 0) as begun,
      0 as ended
    from numbered s
    group by s.first_day, s.template_id, s.title, s.is_booking

    union all

    select
      s.last_day, s.template_id, s.title, s.is_booking,
      sum(
        (floor(s.last_ends / 60) - floor(s.last_starts / 60)) * s.minutes_an_hour
        + least(s.last_ends - floor(s.last_ends / 60) * 60, s.minutes_an_hour)
        - least(s.last_starts - floor(s.last_starts / 60) * 60, s.minutes_an_hour)
      ),
      0,
      sum(s.minutes_an_hour)
    from numbered s
    where s.first_day < s.last_day
    group by s.last_day, s.template_id, s.title, s.is_booking

    union all

    -- what a day of 23 hours and a half, say, has more or less than the average hour
    select
      d.number, s.template_id, s.title, s.is_booking,
      sum(
        (floor((d.ends - s.starts) / 60) - floor((d.starts - s.starts) / 60)) * s.minutes_an_hour
        + least(d.ends - s.starts - floor((d.ends - s.starts) / 60) * 60, s.minutes_an_hour)
        - least(d.starts - s.starts - floor((d.starts - s.starts) / 60) * 60, s.minutes_an_hour)
        - s.minutes_an_hour * (d.ends - d.starts) / 60
      ),
      0,
      0
    from days d
    join numbered s on s.first_day < d.number and s.last_day > d.number
    where mod((d.ends - d.starts)::numeric, 60) <> 0 and s.minutes_an_hour < 60
    group by d.number, s.template_id, s.title, s.is_booking
  )

  select c.today - 28 * (weeks.ago + 1) + numbers.n as day, m.template_id, m.title, m.is_booking, m.minutes
  from generate_series(1, 28) as numbers (n)
  -- offset 0 reads the parts day by day, and not at all without a day
  cross join lateral (
    select
      p.template_id, p.title, p.is_booking,
      coalesce(sum(p.minutes) filter (where p.number = d.number), 0)
        + (coalesce(sum(p.begun) filter (where p.number < d.number), 0) - sum(p.ended)) * (d.ends - d.starts) / 60
        as minutes
    from days d
    join parts p on p.number <= d.number
    where d.number = numbers.n
    group by p.template_id, p.title, p.is_booking, d.starts, d.ends
    offset 0
  ) m
  where c.today - 28 * (weeks.ago + 1) + numbers.n >= c.first_day
) u
where c.today - 28 * weeks.ago >= c.first_day
group by u.day, u.template_id, u.title
-- not 0, which a sum of fractions may miss; a microsecond is more
having sum(u.minutes) > 0.00000001;

comment on view stats.utilisation_by_day is
  'The minutes that vouchers offered on each day, and how many of them are booked, by template (null: unknown '
  'template). The utilisation of a period is the quotient of the two sums. Days without either have no row.';
comment on column stats.utilisation_by_day.offered_minutes is
  'Minutes of that day in slots of vouchers that are not cancelled; overlapping slots count once.';
comment on column stats.utilisation_by_day.booked_minutes is
  'Minutes of that day in active bookings of vouchers that are not cancelled.';

grant select on stats.utilisation_by_day to service_role, stats_reader;
