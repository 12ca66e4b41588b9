-- The amount owed to each beneficiary now, in whole units.
select
  beneficiary_uid,
  currency,
  round(unsettled_cents / 10.0 ^ decimals, decimals) as unsettled,
  round(open_cents / 10.0 ^ decimals, decimals) as open,
  round(invoiced_cents / 10.0 ^ decimals, decimals) as invoiced,
  round(owed_cents / 10.0 ^ decimals, decimals) as owed,
  round(overdue_cents / 10.0 ^ decimals, decimals) as overdue,
  round(paid_cents / 10.0 ^ decimals, decimals) as paid,
  round(written_off_cents / 10.0 ^ decimals, decimals) as written_off
from stats.owed
order by owed desc;
