create function public.join_room(room_id text, notice text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
begin
  perform public.send_to_room(join_room.room_id, join_room.notice);

  -- a browser that connects again and again leaves one event in a minute
  update public.presence_sessions s
  set joined_at = now()
  where s.thinker_id = auth.uid()
    and (s.joined_at is null or s.joined_at < now() - interval '1 minute');

  return jsonb_build_object('room_id', join_room.room_id);
end;
$$;

comment on function public.join_room is
  'Lets the acting thinker join the chat of the room into which it was matched, and notifies the other servers as '
  'send_to_room does. Returns {room_id}. '
  'Raises: query_too_large, uid_invalid (400); not_signed_in, session_ended (401); not_your_room (403); '
  'daily_limit_reached (429).';

grant execute on function public.join_room to authenticated;
