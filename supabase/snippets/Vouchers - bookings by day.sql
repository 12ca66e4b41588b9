-- Issued, booked and cancelled on each of the last 30 days. Chart: day, bookings.
select day, issued, bookings, cancellations
from stats.bookings_by_day
where day > current_date - 30
order by day;
