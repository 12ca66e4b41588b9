create function private.release_thinker(uid text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  thinker  constant uuid := private.thinker_id(release_thinker.uid);
  sessions uuid[];
  released jsonb;
begin
  if not exists (select from private.claims c where c.thinker_id = thinker and c.session_id is not null) then
    raise sqlstate 'PT404' using message = 'thinker_not_claimed';
  end if;

  -- not those that only proved its token: a link with a token lets anybody add a thinker to the session of another
  select array_agg(c.session_id) into sessions
  from private.claims c
  where c.thinker_id = thinker and c.session_id is not null and (not c.is_proven or c.is_own);
  -- behind the claims that they are making
  perform pg_advisory_xact_lock(private.lock_number('session:' || s)), public.end_session(s) from unnest(sessions) as s;
  with free as (
    update private.claims c
    set session_id = null
    where c.session_id = any (sessions) and not c.is_proven
    returning c.thinker_id
  ),
  gone as (
    delete from private.claims c
    where c.is_proven and (c.session_id = any (sessions) or c.thinker_id = thinker)
    returning c.thinker_id
  )
  select jsonb_agg(distinct private.uid_of(r.thinker_id)) into released
  from (select thinker_id from free union all select thinker_id from gone) as r;
  return released;
end;
$$;

comment on function private.release_thinker is
  'Ends the browser session that used this uid first, or that has it by a shared token: all of its thinkers are free '
  'for the next session that uses or proves them. The thinker of any other token is taken from the sessions that '
  'proved it, which go on. Returns the uids. For operators. '
  'Raises: not_a_server (403); thinker_not_claimed (404).';
