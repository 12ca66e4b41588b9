create function private.job_presence_offline()
returns bigint
language sql
set search_path = ''
as $$
  with timed_out as (
    update public.presence_sessions
    set status = 'offline', silenced = true
    where id in (
      -- skips a session whose heartbeat is being written
      select s.id
      from public.presence_sessions s
      where s.status = 'online' and s.last_seen_at < now() - interval '1 minute'
      -- heartbeats wait for those that it has locked; the next run takes the rest
      limit 5000
      for update skip locked
    )
    returning 1
  )
  select count(*) from timed_out
$$;

comment on function private.job_presence_offline is
  'Sets thinkers to offline after a minute without a heartbeat, at most 5000 in a run; the next heartbeat sets them to '
  'online again. Returns their number.';
