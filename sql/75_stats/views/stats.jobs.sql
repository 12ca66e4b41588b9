create view stats.jobs
with (security_invoker = true)
as
select
  j.name, j.description as does, j.schedule, j.last_run_at, j.last_good_run_at, j.is_late, j.last_done, j.last_error_at,
  j.last_error,
  case
    when j.last_error_at = j.last_run_at then 'failed'
    when j.is_late then 'late'
    when j.last_run_at is null then 'waiting'
    else 'good'
  end as state
from private.job_facts j
order by j.name;

comment on view stats.jobs is
  'The scheduled jobs: when each last ran, whether it is late, its last error, and its state.';
comment on column stats.jobs.last_good_run_at is 'When the last successful run started.';
comment on column stats.jobs.is_late is
  'True if last_good_run_at is longer ago than the job allows; for a job that never succeeded, if it was added longer '
  'ago.';
comment on column stats.jobs.last_done is 'How many rows the last successful run processed.';
comment on column stats.jobs.state is
  'failed: the last run failed; late: no successful run for too long; waiting: the job is new and has not run yet; '
  'otherwise good.';

grant select on stats.jobs to service_role, stats_reader;
