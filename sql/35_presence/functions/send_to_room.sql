create function public.send_to_room(room_id text, notice text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
begin
  perform private.is_valid_request();
  perform private.acting_thinker();
  perform private.require_in_room(send_to_room.room_id);

  if send_to_room.notice is not null then
    perform private.use_today(bytes => octet_length(send_to_room.notice));
    perform pg_notify('room_notices', send_to_room.notice);
  end if;

  return jsonb_build_object('room_id', send_to_room.room_id);
end;
$$;

comment on function public.send_to_room is
  'Notifies all servers (channel room_notices) of what the acting thinker says in the room in which it is; without a '
  'notice it only checks that the thinker is there. Nothing is stored. The notice has less than 8000 bytes and is '
  'sealed by a server: others would neither read nor forge it. Returns {room_id}. '
  'Raises: query_too_large, uid_invalid (400); not_signed_in, session_ended (401); not_your_room (403); '
  'daily_limit_reached (429).';

grant execute on function public.send_to_room to authenticated;
