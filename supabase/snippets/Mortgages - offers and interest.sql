-- The offers of the last 90 days by status, and their interest in percent a year.
select
  status,
  sum(offers) as offers,
  round(100 * sum(rates_total) / nullif(sum(rates), 0), 3) as average_percent,
  round(100 * min(lowest_rate), 2) as lowest_percent,
  round(100 * max(highest_rate), 2) as highest_percent
from stats.offers_by_day
where day > current_date - 90
group by status
order by offers desc;
