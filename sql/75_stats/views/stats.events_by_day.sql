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

comment on view stats.events_by_day is 'The number of events of each type on each day, as far back as events are kept.';

grant select on stats.events_by_day to service_role, stats_reader;
