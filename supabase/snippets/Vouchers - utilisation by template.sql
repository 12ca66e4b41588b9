-- The share of the minutes offered in the last 30 days that is booked.
select
  coalesce(title, 'no template') as template,
  sum(offered_minutes) as offered_minutes,
  sum(booked_minutes) as booked_minutes,
  round(100 * sum(booked_minutes) / nullif(sum(offered_minutes), 0), 1) as percent
from stats.utilisation_by_day
where day > current_date - 30
group by title
order by offered_minutes desc;
