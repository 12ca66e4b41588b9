create function public.match_presence(pair_code text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('match_presence', match_presence.pair_code);
  answer  jsonb := private.first_answer(match_presence.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  present uuid[];
  room    text;
begin
  if answer is not null then
    return answer;
  end if;

  -- thinkers who match at the same time, whoever comes first, find the room that the first one made
  perform pg_advisory_xact_lock(hashtextextended('match_presence:' || match_presence.pair_code, 0));

  select array_agg(s.thinker_id), (array_agg(s.room_id order by s.created_at) filter (where s.room_id is not null))[1]
  into present, room
  from public.presence_sessions s
  where s.pair_code = match_presence.pair_code
    and s.status = 'online'
    and s.last_seen_at >= now() - interval '60 seconds';

  if thinker = any (present) and cardinality(present) >= 2 then
    if room is null then
      room := 'room-' || match_presence.pair_code || '-' || private.new_suffix();
      insert into public.rooms (id, type, owner_id, meta)
      values (room, 'mixed', thinker, jsonb_build_object('source', 'presence', 'pair_code', match_presence.pair_code));
    end if;
    update public.presence_sessions s
    set room_id = room
    where s.thinker_id = any (present)
      and s.pair_code = match_presence.pair_code
      and s.room_id is distinct from room;
  else
    room := null;
  end if;

  return private.keep_answer(match_presence.idempotency_key, request, jsonb_build_object('room_id', room));
end;
$$;

comment on function public.match_presence is
  'Finds the room of the acting thinker and whoever else is online with the same pair code and was seen in the last 60 seconds; '
  'makes it when it is missing. Returns {room_id}, null when the caller is not online with that code or is alone. '
  'Refuses: not_signed_in (401). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.match_presence to authenticated;
