create function public.prove_thinker(session_id uuid, uid text)
returns void
language plpgsql
security definer
set search_path = ''
set statement_timeout = '2s'
as $$
declare
  thinker uuid;
  most    integer := (select s.thinkers_a_session from private.settings s);
begin
  perform private.require_service();
  perform private.require_session(prove_thinker.session_id);
  thinker := private.ensure_thinker(prove_thinker.uid);

  -- who has the token comes before the session that named the uid first
  delete from private.claims c where c.thinker_id = thinker and not c.is_proven;

  insert into private.claims (thinker_id, session_id, is_proven)
  values (thinker, prove_thinker.session_id, true)
  on conflict on constraint claims_one_a_session do nothing;

  -- the tokens of the others can be proved again at any time
  delete from private.claims c
  where c.id in (
    select o.id
    from private.claims o
    where o.session_id = prove_thinker.session_id and o.is_proven
    order by o.thinker_id = thinker desc, o.claimed_at desc
    offset greatest(most, 1)
  );
end;
$$;

comment on function public.prove_thinker is
  'Lets a browser session act as the thinker with this uid, whose token it has proved; several sessions may. Of more '
  'than private.settings.thinkers_a_session such thinkers a session keeps the latest. '
  'Raises: uid_invalid (400); session_ended (401); not_a_server (403).';

grant execute on function public.prove_thinker to service_role;
