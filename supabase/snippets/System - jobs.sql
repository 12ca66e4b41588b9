-- The scheduled jobs and their state.
select name, state, last_run_at, last_good_run_at, last_error, does
from stats.jobs
order by state <> 'good' desc, name;
