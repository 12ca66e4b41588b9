create view private.presence_facts
as
select
  s.pair_code,
  s.status = 'online' and s.last_seen_at > now() - interval '1 minute' as is_online
from public.presence_sessions s;

comment on view private.presence_facts is
  'What figures need of presence: who was seen in the last minute and did not say goodbye is online (specification, 2.2).';

grant select on private.presence_facts to service_role, stats_reader;
