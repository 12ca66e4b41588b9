create function public.prove_thinker(
  session_id uuid,
  uid        text,
  client     text    default null,
  is_own     boolean default false
)
returns void
language plpgsql
security definer
set search_path = ''
set statement_timeout = '2s'
as $$
declare
  thinker uuid;
  most    private.settings;
begin
  perform private.require_service();
  -- none comes behind the end of the session
  perform pg_advisory_xact_lock(private.lock_number('session:' || prove_thinker.session_id));
  perform private.require_session(prove_thinker.session_id);
  thinker := private.ensure_thinker(prove_thinker.uid);

  -- who has the token comes before the session that named the uid first
  delete from private.claims c where c.thinker_id = thinker and not c.is_proven;

  insert into private.claims (thinker_id, session_id, is_proven, is_own)
  values (thinker, prove_thinker.session_id, true, prove_thinker.is_own)
  on conflict on constraint claims_one_a_session do nothing;

  -- the tokens of the others can be proved again
  select * into most from private.settings;
  delete from private.claims c
  where c.id in (
    select o.id
    from private.claims o
    where o.session_id = prove_thinker.session_id and o.is_proven
    order by o.thinker_id = thinker desc, o.claimed_at desc
    offset greatest(most.thinkers_a_session, 1)
  );
  -- each writes into the log
  if found
    and prove_thinker.client is not null
    and (public.count_request('claim|' || prove_thinker.client) ->> 'requests')::int > most.claims_a_minute
  then
    raise sqlstate 'PT429' using message = 'too_many_claims';
  end if;
end;
$$;

comment on function public.prove_thinker is
  'Lets a browser session act as the thinker with this uid, whose token it has proved; several sessions may, unless '
  'is_own: the thinker of a shared token is another in each session. Of more than private.settings.thinkers_a_session '
  'such thinkers a session keeps the latest; each of those beyond counts as a claim of the address client '
  '(private.settings.claims_a_minute). '
  'Raises: uid_invalid (400); session_ended (401); not_a_server (403); too_many_claims (429).';

grant execute on function public.prove_thinker to service_role;
