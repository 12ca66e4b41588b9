create function private.run_due_job(job text, due_at timestamptz, server text)
returns private.job_runs
language plpgsql
set search_path = ''
as $$
begin
  -- until the end of the transaction: the next one who gets it sees this run
  if not pg_try_advisory_xact_lock(private.lock_number('run_job:' || run_due_job.job)) then
    return null;
  end if;
  -- a statement of its own, for it must see what was committed before the lock was free
  if exists (
    select
    from private.job_runs r
    where r.job = run_due_job.job
      and r.started_at between run_due_job.due_at and clock_timestamp()
      and (r.done is not null or r.error is not null)
  ) then
    return null;
  end if;
  return private.run_job(run_due_job.job, run_due_job.server);
end;
$$;

comment on function private.run_due_job is
  'Runs a job that was due at this time, as private.run_job does, and notes which server ran it. Returns null if it is '
  'running, or has run since then: of several servers one runs it. It holds its lock in the transaction, so that a '
  'transaction pooler may be on the way.';
