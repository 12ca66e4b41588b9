create function private.tg_presence_sessions__write_join()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.join', new.thinker_id, 'room', new.room_id,
    jsonb_build_object('pairCode', new.pair_code)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_join is
  'Writes the event presence.join: a thinker joined the chat of its room.';

create trigger tg_presence_sessions__write_join
  after update of joined_at on public.presence_sessions
  for each row
  when (new.joined_at is not null and new.joined_at is distinct from old.joined_at)
  execute function private.tg_presence_sessions__write_join();
