create view stats.presence_by_day
with (security_invoker = true)
as
select d.day, e.thinkers, e.heartbeats, e.matches, t.new_thinkers
from stats.days d
cross join lateral (
  select
    -- a thinker timed out after midnight was online the day before
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
  'How many thinkers were online on each day, including days with none; as far back as events are kept '
  '(private.settings.events_kept).';
comment on column stats.presence_by_day.thinkers is
  'Distinct thinkers with any presence event other than presence.offline.';
comment on column stats.presence_by_day.matches is 'How often a thinker entered a room: 2 when two find each other.';
comment on column stats.presence_by_day.new_thinkers is 'Thinkers created on that day.';

grant select on stats.presence_by_day to service_role, stats_reader;
