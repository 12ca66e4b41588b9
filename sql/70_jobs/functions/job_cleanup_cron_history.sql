create function private.job_cleanup_cron_history()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  kept_from constant timestamptz := now() - interval '14 days';
  of_jobs   bigint;
  of_cron   bigint := 0;
begin
  delete from private.job_runs r
  where r.started_at < kept_from
    and r.id not in (
      -- keep what stats.jobs shows: each job's last run, last successful run and last failure
      select distinct on (l.job, l.done is null, l.error is null) l.id
      from private.job_runs l
      order by l.job, l.done is null, l.error is null, l.started_at desc, l.id desc
    );
  get diagnostics of_jobs = row_count;

  -- the schema cron exists only if pg_cron is installed
  if exists (
    select from pg_catalog.pg_namespace n where n.nspname = 'cron' and has_schema_privilege(n.oid, 'usage')
  ) then
    execute 'delete from cron.job_run_details d where coalesce(d.end_time, d.start_time) < $1' using kept_from;
    get diagnostics of_cron = row_count;
  end if;

  return of_jobs + of_cron;
end;
$$;

comment on function private.job_cleanup_cron_history is
  'Deletes rows of private.job_runs and of pg_cron''s log that are older than 14 days, except a job''s last successful '
  'run and last failure. Returns the number of deleted rows.';
