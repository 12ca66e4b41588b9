create view private.report_facts
as
select t.type ~* 'error|fail' as is_error, t.created_at
from public.telemetry_events t;

comment on view private.report_facts is
  'What figures need of what pages report: whether its type speaks of an error, as GET /api/autofix/status reads it.';

grant select on private.report_facts to service_role, stats_reader;
