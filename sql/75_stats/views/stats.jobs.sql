create view stats.jobs
with (security_invoker = true)
as
select
  j.name, j.does, j.schedule, j.last_run_at, j.last_good_run_at, j.is_late, j.last_done, j.last_error_at, j.last_error,
  case
    when j.last_error_at = j.last_run_at then 'failed'
    when j.is_late then 'late'
    when j.last_run_at is null then 'waiting'
    else 'good'
  end as state
from private.job_facts j
order by j.name;

comment on view stats.jobs is 'Each job: when it last ran, whether it is late, its last error, and its state in a word.';
comment on column stats.jobs.last_good_run_at is 'When the last run began that did not fail.';
comment on column stats.jobs.is_late is 'True when that is longer ago than the job may wait; for one that never ran well, when it was added.';
comment on column stats.jobs.last_done is 'How many things the last good run did.';
comment on column stats.jobs.state is
  'failed: its last run did; late: it should have run well since; waiting: it is new, and had no time to run yet; good otherwise.';

grant select on stats.jobs to service_role, stats_reader;
