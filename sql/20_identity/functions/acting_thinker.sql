create function private.acting_thinker()
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := auth.uid();
  claimed text;
  is_free boolean;
begin
  select exists (
    select from private.claims n where n.thinker_id = t.id and n.session_id is null and n.claimed_at is null
  )
  into is_free
  from public.thinkers t
  where t.id = thinker;

  if not found then
    claimed := auth.jwt() ->> 'public_id';
    case
      when private.thinker_id(claimed) = thinker then
        thinker := private.ensure_thinker(claimed);
      -- the token of a Supabase Auth user has no public_id claim: the user's id is the public id
      when private.thinker_id(thinker::text) = thinker then
        thinker := private.ensure_thinker(thinker::text);
      else
        raise sqlstate 'PT401' using message = 'not_signed_in';
    end case;
    is_free := true; -- another one may just have named it
  end if;

  if is_free then
    -- it is used: the first browser session that names it would be another's. One that was released stays free, though
    -- requests of its ended session may still be on their way
    delete from private.claims c where c.thinker_id = thinker and c.session_id is null and c.claimed_at is null;
  end if;
  return thinker;
end;
$$;

comment on function private.acting_thinker is
  'Returns the id of the acting thinker, auth.uid(), and creates the thinker if it does not exist. Its caller asks '
  'before whether the request is valid (private.replay_response, private.is_valid_request). '
  'Raises: uid_invalid (400); not_signed_in (401).';
