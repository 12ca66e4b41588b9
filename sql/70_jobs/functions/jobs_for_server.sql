create function private.jobs_for_server(server text)
returns table (name text, schedule text, due_after timestamptz)
language sql
set search_path = ''
as $$
  insert into private.job_servers (name, seen_at)
  values (jobs_for_server.server, clock_timestamp())
  on conflict (name) do update set seen_at = excluded.seen_at;

  -- of servers that were killed
  delete from private.job_servers s where s.seen_at < now() - interval '1 hour';

  select
    j.name,
    j.schedule,
    coalesce(
      (
        select max(r.started_at)
        from private.job_runs r
        where r.job = j.name and r.started_at <= clock_timestamp() and (r.done is not null or r.error is not null)
      ),
      j.added_at
    )
  from private.jobs j
  where private.is_active_in_pg_cron(j.name) is null
  order by j.name
$$;

comment on function private.jobs_for_server is
  'Notes that a server is there to run jobs, and returns those that pg_cron does not have. A job is due if its '
  'schedule names a time between due_after and now; due_after is the start of its last run, or when it was added.';
