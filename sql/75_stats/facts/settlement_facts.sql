create view private.settlement_facts
as
select s.id, s.beneficiary_id, s.period_from, s.period_to, s.total_cents, s.currency, s.status, s.created_at
from public.settlements s;

comment on view private.settlement_facts is 'The columns of settlements that figures may read.';

grant select on private.settlement_facts to service_role, stats_reader;
