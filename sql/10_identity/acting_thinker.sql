create function private.acting_thinker()
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := auth.uid();
  claimed text := auth.jwt() ->> 'public_id';
begin
  if thinker is null then
    raise sqlstate 'PT401' using message = 'not_signed_in';
  end if;
  -- the token of a Supabase Auth user names no public id: the user's id is the public id
  return private.thinker_of(
    case when private.thinker_id(claimed) = thinker then claimed else thinker::text end
  );
end;
$$;

comment on function private.acting_thinker is
  'The id of the thinker who acts: auth.uid(), made on first sight. Refuses: not_signed_in (401).';
