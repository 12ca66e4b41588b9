create function private.tg_presence_sessions__write_heartbeat()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.heartbeat', new.thinker_id, 'presence_session', new.id,
    jsonb_build_object('pairCode', new.pair_code, 'status', new.status)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_heartbeat is 'Writes the event presence.heartbeat.';

create trigger tg_presence_sessions__write_heartbeat
  after insert or update of last_seen_at on public.presence_sessions
  for each row
  execute function private.tg_presence_sessions__write_heartbeat();
