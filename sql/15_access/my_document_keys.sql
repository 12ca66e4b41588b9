create function private.my_document_keys()
returns setof text
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
    -- as api/storage.py writes keys
    select replace(replace(replace(c.storage_url, '=', '=3D'), '%', '=25'), '~', '=7E')
    from public.contracts c;
end;
$$;

comment on function private.my_document_keys is
  'The keys in Supabase Storage of the documents that the caller sees in public.contracts: their paths, in which '
  '=, % and ~ are written as =3D, =25 and =7E. For policies of storage.objects.';

grant execute on function private.my_document_keys to authenticated;
