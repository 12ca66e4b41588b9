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
      where c.thinker_id = same_session.thinker and c.session_id is not null
    ),
    array[same_session.thinker]
  );
end;
$$;

comment on function private.same_session is
  'The ids of the thinkers that share the limits of a thinker: those of its browser sessions, which one person can '
  'have several of, the oldest claim first; only itself without a session. May contain duplicates.';
