-- How many thinkers were online on each of the last 30 days. Chart: day, thinkers.
select day, thinkers, new_thinkers, heartbeats, matches
from stats.presence_by_day
where day > current_date - 30
order by day;
