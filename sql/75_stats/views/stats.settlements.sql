-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.settlements
with (security_invoker = true, security_barrier = true)
as
select
  s.id, b.uid as beneficiary_uid, s.period_from, s.period_to, s.total_cents, s.currency,
  private.currency_exponent(s.currency) as decimals, s.status, s.created_at,
  s.number, s.invoiced_at, s.due_on, s.paid_cents, s.last_paid_on, s.is_overdue
from private.settlement_facts s
join private.thinker_facts b on b.id = s.beneficiary_id;

comment on view stats.settlements is 'Every settlement: beneficiary, period, amount and status.';
comment on column stats.settlements.period_to is 'The day after the last day of the period.';
comment on column stats.settlements.total_cents is
  'In the currency''s minor unit; a voided settlement keeps its total.';
comment on column stats.settlements.decimals is 'The number of decimals of the currency''s minor unit.';

comment on column stats.settlements.number is 'The number of the invoice; null before.';
comment on column stats.settlements.paid_cents is 'The sum of the payments, in the currency''s minor unit.';
comment on column stats.settlements.is_overdue is 'Whether it is invoiced and not paid, and its due date is over.';

grant select on stats.settlements to service_role, stats_reader;
