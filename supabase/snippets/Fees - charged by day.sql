-- Fees charged, reversed and adjusted on each of the last 30 days, in whole units. Chart: day, accrued.
select
  day,
  fee_id,
  currency,
  sum(fee_events) as fee_events,
  round(sum(charged_cents) / 10.0 ^ decimals, decimals) as charged,
  round(sum(reversed_cents) / 10.0 ^ decimals, decimals) as reversed,
  round(sum(adjusted_cents) / 10.0 ^ decimals, decimals) as adjusted,
  round(sum(accrued_cents) / 10.0 ^ decimals, decimals) as accrued
from stats.fees_by_day
where day > current_date - 30
group by day, fee_id, currency, decimals
order by day, fee_id, currency;
