-- The prices of the active bookings of the last 30 days, in whole units. Chart: day, amount.
select day, currency, bookings, round(amount_cents / 10.0 ^ decimals, decimals) as amount
from stats.revenue_by_day
where day > current_date - 30
order by day, currency;
