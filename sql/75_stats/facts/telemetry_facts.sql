create view private.telemetry_facts
as
select t.type ~* 'error|fail' as is_error, t.created_at
from public.telemetry_events t;

comment on view private.telemetry_facts is
  'What figures need of what pages report: whether its type speaks of an error, as GET /api/autofix/status reads it.';

grant select on private.telemetry_facts to service_role, stats_reader;
