create function private.uid_of(thinker uuid)
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select t.public_id from public.thinkers t where t.id = thinker
$$;

comment on function private.uid_of is 'The public id of a thinker, which the portal calls uid.';

grant execute on function private.uid_of to service_role, authenticated;
