-- What the portal's pages reported on each of the last 30 days. Chart: day, errors.
select day, reports, errors
from stats.errors_by_day
where day > current_date - 30
order by day;
