create function private.run_job(job text, server text default null)
returns private.job_runs
language plpgsql
set search_path = ''
as $$
declare
  started_at constant timestamptz := clock_timestamp();
  operator   constant text := coalesce(current_setting('portal.operator', true), '');
  done       bigint;
  error      text;
  run        private.job_runs;
begin
  if not exists (select from private.jobs j where j.name = run_job.job) then
    raise invalid_parameter_value using
      message = format('There is no job %L.', run_job.job),
      hint = (select 'The jobs are ' || string_agg(j.name, ', ' order by j.name) || '.' from private.jobs j);
  end if;

  if pg_try_advisory_xact_lock(private.lock_number('run_job:' || run_job.job)) then
    begin
      -- what it writes names the job, unless an operator runs it by hand
      perform set_config('portal.operator', coalesce(nullif(operator, ''), 'job ' || run_job.job), true);
      execute format('select private.%I()', 'job_' || replace(run_job.job, '-', '_')) into strict done;
      perform set_config('portal.operator', operator, true);
    exception
      when others or query_canceled then
        error := sqlerrm;
        raise warning '% failed: %', run_job.job, error;
    end;
  else
    raise notice '% is running elsewhere.', run_job.job;
  end if;

  insert into private.job_runs (job, started_at, finished_at, done, error, server)
  values (run_job.job, started_at, greatest(started_at, clock_timestamp()), done, error, run_job.server)
  returning * into run;
  return run;
end;
$$;

comment on function private.run_job is
  'Runs a job now and returns its row of private.job_runs. What it writes names `job <name>` as operator, unless '
  'portal.operator is set (private.operator_name). A job that fails leaves only its error there and a warning. A job '
  'that is already running is not started again: its row has neither done nor error. An unknown name fails with '
  'invalid_parameter_value (22023).';
