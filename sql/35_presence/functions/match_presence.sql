create function public.match_presence(pair_code text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request   jsonb := jsonb_build_array('match_presence', match_presence.pair_code);
  response  jsonb := private.replay_response(match_presence.idempotency_key, request);
  thinker   uuid := private.acting_thinker();
  present   uuid[];
  room      text;
  together  boolean;
  is_locked boolean := false;
begin
  if response is not null then
    return response;
  end if;

  loop
    select
      array_agg(s.thinker_id), (array_agg(s.room_id order by s.created_at) filter (where s.room_id is not null))[1],
      count(s.room_id) = count(*) and min(s.room_id) = max(s.room_id)
    into present, room, together
    from public.presence_sessions s
    where s.pair_code = match_presence.pair_code
      and s.status = 'online'
      and s.last_seen_at >= now() - interval '60 seconds';

    if thinker = any (present) and cardinality(present) >= 2 then
      exit when together or is_locked;
    else
      room := null;
      together := true;
      exit;
    end if;

    -- concurrent calls that would change something wait, and then find the room that the first one created
    perform pg_advisory_xact_lock(private.lock_number('match_presence:' || match_presence.pair_code));
    is_locked := true;
  end loop;

  if not together then
    if room is null then
      room := 'room-' || match_presence.pair_code || '-' || private.new_suffix();
      insert into public.rooms (id, type, owner_id, meta)
      values (room, 'mixed', thinker, jsonb_build_object('source', 'presence', 'pair_code', match_presence.pair_code));
    end if;
    update public.presence_sessions s
    set room_id = room, joined_at = null
    where s.thinker_id = any (present)
      and s.pair_code = match_presence.pair_code
      and s.room_id is distinct from room;
  end if;

  return private.store_response(match_presence.idempotency_key, request, jsonb_build_object('room_id', room));
end;
$$;

comment on function public.match_presence is
  'Puts the acting thinker into one room with all thinkers who are online with the same pair code and were seen in '
  'the last 60 seconds; creates the room if it does not exist. Returns {room_id}: null if the caller is not online '
  'with that code or is alone. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'request_in_progress (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.match_presence to authenticated;
