create function private.tg_presence_sessions__write_match()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.match', new.thinker_id, 'room', new.room_id,
    jsonb_build_object('pairCode', new.pair_code)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_match is 'Writes the event presence.match.';

create trigger tg_presence_sessions__write_match
  after update of room_id on public.presence_sessions
  for each row
  when (new.room_id is not null and new.room_id is distinct from old.room_id)
  execute function private.tg_presence_sessions__write_match();
