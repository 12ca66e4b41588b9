-- The receivables at present in whole units, with the day of the oldest charge; the most overdue first.
select
  payer_uid,
  beneficiary_uid,
  currency,
  since,
  round(owed_cents / 10.0 ^ decimals, decimals) as owed,
  round(overdue_cents / 10.0 ^ decimals, decimals) as overdue,
  round(unsettled_cents / 10.0 ^ decimals, decimals) as unsettled,
  round(open_cents / 10.0 ^ decimals, decimals) as open,
  round(invoiced_cents / 10.0 ^ decimals, decimals) as invoiced
from stats.receivables
order by overdue desc, owed desc;
