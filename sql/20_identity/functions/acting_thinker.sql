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
  case
    when private.thinker_id(claimed) = thinker then
      return private.thinker_of(claimed);
    -- the token of a Supabase Auth user names no public id: the user's id is the public id
    when private.thinker_id(thinker::text) = thinker then
      return private.thinker_of(thinker::text);
    when exists (select from public.thinkers t where t.id = thinker) then
      return thinker;
    else
      raise sqlstate 'PT401' using message = 'not_signed_in';
  end case;
end;
$$;

comment on function private.acting_thinker is
  'The id of the thinker who acts: auth.uid(), made on first sight. Refuses: not_signed_in (401), uid_invalid (400).';
