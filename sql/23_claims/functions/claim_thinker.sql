create function public.claim_thinker(
  session_id uuid,
  uid        text,
  client     text    default null,
  known      boolean default false
)
returns void
language plpgsql
security definer
set search_path = ''
set statement_timeout = '2s'
as $$
declare
  thinker uuid := private.thinker_id(claim_thinker.uid);
  most    private.settings;
  is_new  boolean;
begin
  perform private.require_service();
  perform private.require_session(claim_thinker.session_id);

  if exists (
    select from private.claims c
    where c.thinker_id = thinker and c.session_id = claim_thinker.session_id
  ) then
    return;
  end if;

  if claim_thinker.uid is null or char_length(claim_thinker.uid) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'uid_invalid';
  end if;

  -- no look-alikes. Those of tokens and of users of Supabase Auth need a proof, the others are no page's
  if claim_thinker.uid collate "C" !~ '^[A-Za-z0-9._-]{1,64}$'
    or claim_thinker.uid collate "C" ~* '^(thinker-|erased-|[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$)'
    -- that of its own session only, as api/gateway/session_calls.py computes it: tokens name their session to others
    or (
      claim_thinker.uid collate "C" ~* '^guest-'
      and claim_thinker.uid <> 'guest-' || left(
        encode(sha256('guest'::bytea || uuid_send(claim_thinker.session_id)), 'hex'), 22
      )
    )
    or exists (select from public.thinkers t where t.id = thinker and t.roles <> '{}')
    or exists (select from public.fee_versions f where f.beneficiary_id = thinker)
    or exists (select from public.settlements s where s.beneficiary_id = thinker)
  then
    raise sqlstate 'PT403' using message = 'not_yourself';
  end if;

  -- claims of one session are counted one after the other, and none comes behind its end
  perform pg_advisory_xact_lock(private.lock_number('session:' || claim_thinker.session_id));
  perform private.require_session(claim_thinker.session_id);
  select * into most from private.settings;
  if (
    select count(*) from private.claims c where c.session_id = claim_thinker.session_id and not c.is_proven
  ) >= most.thinkers_a_session then
    raise sqlstate 'PT429' using message = 'too_many_claims';
  end if;

  insert into public.thinkers (id, public_id) values (thinker, claim_thinker.uid) on conflict do nothing;
  is_new := found;
  -- after what others may keep it waiting for: the claims of an address are counted one after the other
  if claim_thinker.client is not null
    and (public.count_request('claim|' || claim_thinker.client) ->> 'requests')::int > most.claims_a_minute
  then
    raise sqlstate 'PT429' using message = 'too_many_claims';
  end if;

  if is_new or (
    claim_thinker.known and not exists (select from private.claims c where c.thinker_id = thinker)
  ) then
    insert into private.claims (thinker_id, session_id)
    values (thinker, claim_thinker.session_id)
    on conflict (thinker_id) where not is_proven do nothing;
  else
    update private.claims c
    set session_id = claim_thinker.session_id, claimed_at = clock_timestamp()
    where c.thinker_id = thinker and c.session_id is null;
  end if;
  -- another session was first, or a trusted server knows this thinker
  if not found and not exists (
    select from private.claims c where c.thinker_id = thinker and c.session_id = claim_thinker.session_id
  ) then
    raise sqlstate 'PT403' using message = 'not_yourself';
  end if;
end;
$$;

comment on function public.claim_thinker is
  'Lets a browser session act as the thinker with this uid from now on, unless it may already. A uid belongs to the '
  'session that uses it first: one that nobody has used, or that was only named by another; where known is true also '
  'one that trusted servers or imports have used. Never a thinker of a token or of Supabase Auth (prove_thinker), nor '
  'one with a role, a beneficiary of today or before, a pseudonym or another session''s guest, nor a look-alike '
  '(thinker-...). A page makes up uids of at most 64 letters, digits and . _ -. client is the address whose claims are '
  'counted (private.settings.claims_a_minute). '
  'Raises: uid_invalid (400); session_ended (401); not_a_server, not_yourself (403); too_many_claims (429).';

grant execute on function public.claim_thinker to service_role;
