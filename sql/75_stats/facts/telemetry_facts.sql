create view private.telemetry_facts
as
select t.type collate "C" ~* 'error|fail' as is_error, t.created_at
from public.telemetry_events t;

comment on view private.telemetry_facts is
  'The columns of telemetry that figures may read: whether the type is an error, as in GET /api/autofix/status, and '
  'the time.';

grant select on private.telemetry_facts to service_role, stats_reader;
