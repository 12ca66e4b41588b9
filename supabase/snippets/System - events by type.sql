-- Events of the last 7 days by type. Chart: type, events.
select type, sum(events) as events
from stats.events_by_day
where day > current_date - 7
group by type
order by events desc;
