create view stats.applications_by_status
with (security_invoker = true)
as
select a.status, count(*) as applications
from private.application_facts a
group by a.status;

comment on view stats.applications_by_status is 'The current number of mortgage applications by status.';

grant select on stats.applications_by_status to service_role, stats_reader;
