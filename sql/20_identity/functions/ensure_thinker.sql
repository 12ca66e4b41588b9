create function private.ensure_thinker(uid text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := private.thinker_id(uid);
begin
  if uid is null then
    return null;
  end if;
  if char_length(uid) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'uid_invalid';
  end if;
  if not exists (select from public.thinkers t where t.id = thinker) then
    insert into public.thinkers (id, public_id) values (thinker, uid) on conflict do nothing;
    -- a thinker that another one names waits for its first browser session
    if found and thinker <> auth.uid() and not private.is_service() then
      insert into private.claims (thinker_id, claimed_at) values (thinker, null);
    end if;
  end if;
  return thinker;
end;
$$;

comment on function private.ensure_thinker is
  'Returns the id of the thinker with this uid, and creates the thinker if it does not exist; null for null. One that '
  'another thinker names may be claimed by a browser session (private.claims). '
  'Raises: uid_invalid (400).';
