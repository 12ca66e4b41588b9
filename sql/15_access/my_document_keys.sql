create function private.my_document_keys()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- an admin reads all of them, others by their ids
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  is_admin boolean;
  ids      uuid[];
begin
  perform private.is_valid_request();
  is_admin := private.may_act_as('admin');
  if not is_admin then
    ids := array(select private.my_contracts());
  end if;
  return query
    -- as api/storage.py writes keys
    select replace(replace(replace(c.storage_url, '=', '=3D'), '%', '=25'), '~', '=7E')
    from public.contracts c
    where c.id = any (ids) or is_admin;
end;
$$;

comment on function private.my_document_keys is
  'The keys in Supabase Storage of the documents that the actor may see: their paths in public.contracts, in which '
  '=, % and ~ are written as =3D, =25 and =7E. For policies of storage.objects. '
  'Raises: query_too_large (400); session_ended (401).';

grant execute on function private.my_document_keys to authenticated;
