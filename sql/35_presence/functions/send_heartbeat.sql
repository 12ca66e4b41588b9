create function public.send_heartbeat(
  pair_code       text default null,
  status          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array('send_heartbeat', send_heartbeat.pair_code, send_heartbeat.status);
  response jsonb := private.replay_response(send_heartbeat.idempotency_key, request);
  thinker  uuid := private.acting_thinker();
  session  public.presence_sessions;
begin
  if response is not null then
    return response;
  end if;

  if char_length(send_heartbeat.pair_code) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'pair_code_invalid';
  end if;

  -- most heartbeats change nothing, which costs less than the rest
  update public.presence_sessions s
  set last_seen_at = now()
  where s.thinker_id = thinker
    and not s.silenced
    and s.pair_code is not distinct from coalesce(send_heartbeat.pair_code, s.pair_code)
    and (send_heartbeat.status is null or (s.status = 'online') = (send_heartbeat.status = 'online'))
  returning * into session;
  if found then
    return private.store_response(send_heartbeat.idempotency_key, request, to_jsonb(session));
  end if;

  -- each change leaves events, and may lead to a new room
  if exists (
    select from public.presence_sessions s
    where s.thinker_id = thinker
      and (
        s.pair_code is distinct from coalesce(send_heartbeat.pair_code, s.pair_code)
        or (not s.silenced and (s.status = 'online') <> (send_heartbeat.status = 'online'))
      )
  ) then
    perform private.use_today(presence_changes => 1);
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
      joined_at = case when excluded.pair_code <> s.pair_code then null else s.joined_at end,
      last_seen_at = now()
  returning * into session;

  return private.store_response(send_heartbeat.idempotency_key, request, to_jsonb(session));
end;
$$;

comment on function public.send_heartbeat is
  'Reports that the acting thinker is online. Arguments that are null keep the stored value, except that a thinker '
  'timed out by a job comes back online. Every status other than online is stored as offline; offline thinkers are '
  'not matched. Returns the session. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: idempotency_key_invalid, pair_code_invalid, query_too_large, uid_invalid (400); not_signed_in, '
  'session_ended (401); request_in_progress (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.send_heartbeat to authenticated;
