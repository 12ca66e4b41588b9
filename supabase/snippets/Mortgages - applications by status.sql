-- How many applications are open, offered, accepted and rejected now.
select status, applications
from stats.applications_by_status
order by applications desc, status;
