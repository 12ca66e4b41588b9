create function private.tg_presence_sessions__write_heartbeat()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE'
    and (new.pair_code, new.status) is not distinct from (old.pair_code, old.status)
    and date_bin('10 s', new.last_seen_at, 'epoch') = date_bin('10 s', old.last_seen_at, 'epoch')
  then
    return null;
  end if;

  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.heartbeat', new.thinker_id, 'presence_session', new.id,
    jsonb_build_object('pairCode', new.pair_code, 'status', new.status)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_heartbeat is
  'Writes the event presence.heartbeat: for heartbeats that change nothing one in ten seconds, because nothing else '
  'limits their number; the portal sends one in 25 seconds.';

create trigger tg_presence_sessions__write_heartbeat
  after insert or update of last_seen_at on public.presence_sessions
  for each row
  execute function private.tg_presence_sessions__write_heartbeat();
