create view private.application_facts
as
select a.status, a.desired_loan, a.currency, a.created_at
from public.mortgage_applications a;

comment on view private.application_facts is 'The columns of mortgage applications that figures may read.';

grant select on private.application_facts to service_role, stats_reader;
