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
  end as state,
  j.run_by
from private.job_facts j
order by j.name;

comment on view stats.jobs is
  'The scheduled jobs: when each last ran, whether it is late, its last error, its state, and who runs it.';
comment on column stats.jobs.last_good_run_at is 'When the last successful run started.';
comment on column stats.jobs.is_late is
  'True if last_good_run_at is longer ago than the job allows; for a job that never succeeded, if it was added longer '
  'ago.';
comment on column stats.jobs.last_done is 'How many rows the last successful run processed.';
comment on column stats.jobs.state is
  'failed: the last run failed; late: no successful run for too long; waiting: the job is new and has not run yet; '
  'otherwise good.';
comment on column stats.jobs.run_by is
  'pg_cron; portal run: a server that was there within the last three minutes; nobody: no server is there, or the job '
  'is switched off in pg_cron.';

grant select on stats.jobs to service_role, stats_reader;
