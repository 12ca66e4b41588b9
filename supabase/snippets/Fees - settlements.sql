-- Every settlement, latest period first, in whole units.
select
  period_from,
  period_to,
  beneficiary_uid,
  round(total_cents / 10.0 ^ decimals, decimals) as total,
  currency,
  status
from stats.settlements
order by period_from desc, beneficiary_uid, currency;
