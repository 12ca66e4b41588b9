create function private.require_in_room(room_id text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not exists (
    select from public.presence_sessions s
    where s.thinker_id = auth.uid()
      and s.room_id = require_in_room.room_id
      -- browsers delay the heartbeats of hidden pages to one in a minute, so that jobs silence their sessions
      and (s.status = 'online' or s.silenced)
      and s.last_seen_at >= now() - interval '2 minutes'
  ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
end;
$$;

comment on function private.require_in_room is
  'Lets an actor pass who was matched into the room, has not gone offline, and was seen in the last two minutes. '
  'Raises: not_your_room (403).';
