-- Every settlement, latest period first, in whole units. The total of a voided one does not count.
select
  number,
  period_from,
  period_to,
  beneficiary_uid,
  round(total_cents / 10.0 ^ decimals, decimals) as total,
  round(paid_cents / 10.0 ^ decimals, decimals) as paid,
  currency,
  status,
  due_on,
  is_overdue
from stats.settlements
order by period_from desc, beneficiary_uid, currency;
