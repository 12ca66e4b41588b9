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
      for update skip locked
    )
    returning 1
  )
  select count(*) from timed_out
$$;

comment on function private.job_presence_offline is
  'Sets thinkers to offline after a minute without a heartbeat; the next heartbeat sets them to online again. Returns '
  'their number.';
