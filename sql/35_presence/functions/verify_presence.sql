create function public.verify_presence(idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('verify_presence');
  answer  jsonb := private.first_answer(verify_presence.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  if answer is not null then
    return answer;
  end if;

  update public.thinkers t set verified_at = now() where t.id = thinker;

  insert into public.presence_sessions (thinker_id) values (thinker) on conflict (thinker_id) do nothing;

  select * into session from public.presence_sessions s where s.thinker_id = thinker;

  return private.keep_answer(
    verify_presence.idempotency_key,
    request,
    jsonb_build_object('thinker_uid', private.uid_of(thinker), 'pair_code', session.pair_code)
  );
end;
$$;

comment on function public.verify_presence is
  'Notes that the acting thinker proved its token; the first time it also comes online. A later call changes neither '
  'its status nor when it was last seen. Returns {thinker_uid, pair_code}. Refuses: not_signed_in (401). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.verify_presence to authenticated;
