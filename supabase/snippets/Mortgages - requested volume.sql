-- The loans asked for in the last 90 days, in whole units.
select currency, sum(applications) as applications, round(sum(amount_cents) / 10.0 ^ decimals, decimals) as amount
from stats.requested_by_day
where day > current_date - 90
group by currency, decimals
order by applications desc;
