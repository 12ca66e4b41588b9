create view stats.jobs
with (security_invoker = true)
as
select
  j.name,
  j.does,
  j.schedule,
  greatest(good.started_at, bad.started_at) as last_run_at,
  good.started_at as last_good_run_at,
  coalesce(good.started_at, j.added_at) < now() - j.late_after as is_late,
  good.done as last_done,
  bad.started_at as last_error_at,
  bad.error as last_error
from private.jobs j
left join lateral (
  select r.started_at, r.done
  from private.job_runs r
  where r.job = j.name and r.done is not null
  order by r.started_at desc
  limit 1
) good on true
left join lateral (
  select r.started_at, r.error
  from private.job_runs r
  where r.job = j.name and r.error is not null
  order by r.started_at desc
  limit 1
) bad on true
order by j.name;

comment on view stats.jobs is
  'Each job: when it last ran, whether it is late, its last error. It fails at present where last_error_at = last_run_at.';
comment on column stats.jobs.last_good_run_at is 'When the last run began that did not fail.';
comment on column stats.jobs.is_late is 'True when that is longer ago than the job may wait; for one that never ran well, when it was added.';
comment on column stats.jobs.last_done is 'How many things the last good run did.';

grant select on stats.jobs to service_role;
