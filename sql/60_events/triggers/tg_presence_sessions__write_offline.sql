create function private.tg_presence_sessions__write_offline()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.offline',
    case when new.silenced then new.thinker_id else coalesce(private.known_actor(), new.thinker_id) end,
    'presence_session',
    new.id,
    jsonb_build_object('pairCode', new.pair_code, 'silenced', new.silenced)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_offline is
  'Writes the event presence.offline. Its actor is the acting thinker; the session''s thinker if no thinker acts or a '
  'job timed the session out.';

create trigger tg_presence_sessions__write_offline
  after update of status on public.presence_sessions
  for each row
  when (old.status = 'online' and new.status = 'offline')
  execute function private.tg_presence_sessions__write_offline();
