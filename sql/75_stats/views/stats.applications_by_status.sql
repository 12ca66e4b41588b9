create view stats.applications_by_status
with (security_invoker = true)
as
select a.status, count(*) as applications
from private.application_facts a
group by a.status;

comment on view stats.applications_by_status is 'How many mortgage applications there are at present, by their status.';

grant select on stats.applications_by_status to service_role, stats_reader;
