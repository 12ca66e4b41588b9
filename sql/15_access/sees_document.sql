create function private.sees_document(name text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  -- as api/storage.py writes keys
  path constant text := replace(replace(replace(sees_document.name, '=7E', '~'), '=25', '%'), '=3D', '=');
begin
  return exists (select from public.contracts c where c.storage_url = path collate "C");
end;
$$;

comment on function private.sees_document is
  'True if the caller sees the document with this key in Supabase Storage: its path in public.contracts, in which '
  '=, % and ~ are written as =3D, =25 and =7E. For policies of storage.objects.';

grant execute on function private.sees_document to authenticated;
