create function public.send_heartbeat(
  pair_code       text default null,
  status          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('send_heartbeat', send_heartbeat.pair_code, send_heartbeat.status);
  answer  jsonb := private.first_answer(send_heartbeat.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  if answer is not null then
    return answer;
  end if;

  if char_length(send_heartbeat.pair_code) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'pair_code_invalid';
  end if;

  insert into public.presence_sessions as s (thinker_id, pair_code, status)
  values (
    thinker,
    send_heartbeat.pair_code,
    case when coalesce(send_heartbeat.status, 'online') = 'online' then 'online' else 'offline' end
  )
  on conflict (thinker_id) do update
  set pair_code = coalesce(excluded.pair_code, s.pair_code),
      status = case
        when send_heartbeat.status is not null then excluded.status
        when s.silenced then 'online'
        else s.status
      end,
      silenced = false,
      room_id = case when excluded.pair_code <> s.pair_code then null else s.room_id end,
      last_seen_at = now()
  returning * into session;

  return private.keep_answer(send_heartbeat.idempotency_key, request, to_jsonb(session));
end;
$$;

comment on function public.send_heartbeat is
  'Says that the acting thinker is there. What is left out (null) keeps its value, but whom a job silenced is online again. Any status but online counts as offline: '
  'such a thinker is not matched. Returns the session. Refuses: not_signed_in (401), pair_code_invalid (400). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.send_heartbeat to authenticated;
