create function public.verify_presence(idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array('verify_presence');
  response jsonb := private.replay_response(verify_presence.idempotency_key, request);
  thinker  uuid := private.acting_thinker();
  session  public.presence_sessions;
begin
  if response is not null then
    return response;
  end if;

  update public.thinkers t set verified_at = now() where t.id = thinker;

  insert into public.presence_sessions (thinker_id) values (thinker) on conflict (thinker_id) do nothing;

  select * into session from public.presence_sessions s where s.thinker_id = thinker;

  return private.store_response(
    verify_presence.idempotency_key,
    request,
    jsonb_build_object('thinker_uid', private.uid_of(thinker), 'pair_code', session.pair_code)
  );
end;
$$;

comment on function public.verify_presence is
  'Records that the acting thinker proved its token. The first call also creates its session, online; later calls '
  'change neither status nor last_seen_at. Returns {thinker_uid, pair_code}. A repeated call with the same '
  'idempotency_key returns the stored response (private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'request_in_progress (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.verify_presence to authenticated;
