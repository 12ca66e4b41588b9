create view stats.days
with (security_invoker = true)
as
select
  day::date as day,
  -- right after the last moment of the day before, because midnight may occur twice or not at all at a change of clocks
  (day - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as starts_at,
  (day + interval '1 day' - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as ends_at
from private.calendar_facts c
-- timestamps without a time zone, so that a day of 23 or 25 hours is one day
cross join generate_series(c.first_day::timestamp, c.today::timestamp, interval '1 day') as day;

comment on view stats.days is
  'Every day from the portal''s first row to today, at most ten years. With `where day between ...` the views by day '
  'read only those days.';
comment on column stats.days.starts_at is
  'The first moment of the day in the time zone of private.settings; equal to ends_at of the day before.';

grant select on stats.days to service_role, stats_reader;
