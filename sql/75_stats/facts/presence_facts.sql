create view private.presence_facts
as
select
  s.pair_code,
  s.status = 'online' and s.last_seen_at > now() - interval '1 minute' as is_online
from public.presence_sessions s;

comment on view private.presence_facts is
  'The columns of presence that figures may read. A thinker is online if it was seen in the last minute and its status '
  'is online.';

grant select on private.presence_facts to service_role, stats_reader;
