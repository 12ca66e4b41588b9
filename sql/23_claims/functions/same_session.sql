create function private.same_session(thinker uuid)
returns uuid[]
language plpgsql -- caches the plan for the next call
stable
security definer
set search_path = ''
as $$
begin
  return coalesce(
    (
      select array_agg(o.thinker_id order by o.claimed_at, o.id)
      from private.claims c
      join private.claims o on o.session_id = c.session_id
      -- a link with a token lets anybody add a thinker to the session of another
      where c.thinker_id = same_session.thinker and c.session_id is not null and not c.is_proven and not o.is_proven
    ),
    array[same_session.thinker]
  );
end;
$$;

comment on function private.same_session is
  'The ids of the thinkers that share the limits of a thinker: those that its browser session used first, oldest claim '
  'first. Only itself without a session, and for the thinker of a token.';
