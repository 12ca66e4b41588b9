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

comment on view stats.errors_by_day is
  'The number of telemetry reports of each day, and how many of them are errors, including days with none.';

grant select on stats.errors_by_day to service_role, stats_reader;
