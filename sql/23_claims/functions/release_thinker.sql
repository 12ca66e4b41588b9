create function private.release_thinker(uid text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  sessions uuid[];
  released jsonb;
begin
  select array_agg(c.session_id) into sessions
  from private.claims c
  where c.thinker_id = private.thinker_id(release_thinker.uid) and c.session_id is not null;
  if sessions is null then
    raise sqlstate 'PT404' using message = 'thinker_not_claimed';
  end if;

  perform public.end_session(s) from unnest(sessions) as s;
  with free as (
    update private.claims c
    set session_id = null
    where c.session_id = any (sessions) and not c.is_proven
    returning c.thinker_id
  ),
  gone as (
    delete from private.claims c where c.session_id = any (sessions) and c.is_proven returning c.thinker_id
  )
  select jsonb_agg(distinct private.uid_of(r.thinker_id)) into released
  from (select thinker_id from free union all select thinker_id from gone) as r;
  return released;
end;
$$;

comment on function private.release_thinker is
  'Ends the browser sessions that may act as the thinker with this uid. All of their thinkers are free for the next '
  'session that uses or proves them; returns their uids. For operators. '
  'Raises: not_a_server (403); thinker_not_claimed (404).';
