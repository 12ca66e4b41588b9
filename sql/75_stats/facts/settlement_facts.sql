create view private.settlement_facts
as
select
  s.id, s.beneficiary_id, s.period_from, s.period_to, s.total_cents, s.currency, s.status, s.created_at, s.number,
  s.invoiced_at, s.due_on, coalesce(p.cents, 0)::bigint as paid_cents, p.last_on as last_paid_on,
  -- a state of the day, not of the row
  s.status = 'invoiced' and s.due_on < (now() at time zone z.time_zone)::date as is_overdue
from public.settlements s
cross join private.settings z
left join (
  select p.settlement_id, sum(p.amount_cents) as cents, max(p.paid_on) as last_on
  from public.settlement_payments p
  group by p.settlement_id
) p on p.settlement_id = s.id;

comment on view private.settlement_facts is 'The columns of settlements that figures may read.';

grant select on private.settlement_facts to service_role, stats_reader;
