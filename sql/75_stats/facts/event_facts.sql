create view private.event_facts
as
select e.type, e.actor_id, e.created_at
from public.events e;

comment on view private.event_facts is
  'The columns of events that figures may read, all of them in events_created_at_idx, so that figures need an '
  'index-only scan.';

grant select on private.event_facts to service_role, stats_reader;
