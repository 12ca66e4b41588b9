create function private.job_presence_offline()
returns bigint
language sql
set search_path = ''
as $$
  with silenced as (
    update public.presence_sessions
    set status = 'offline', silenced = true
    where id in (
      -- one whose heartbeat is just being written is not silent
      select s.id
      from public.presence_sessions s
      where s.status = 'online' and s.last_seen_at < now() - interval '1 minute'
      for update skip locked
    )
    returning 1
  )
  select count(*) from silenced
$$;

comment on function private.job_presence_offline is
  'Says offline for whoever has been silent for more than a minute; the next heartbeat brings the thinker back. Returns how many.';
