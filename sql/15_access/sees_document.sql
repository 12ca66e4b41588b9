create function private.sees_document(path text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from public.contracts c where c.storage_url = sees_document.path collate "C");
end;
$$;

comment on function private.sees_document is
  'True if the caller sees the document at this path in public.contracts. For policies of Supabase Storage.';

grant execute on function private.sees_document to authenticated;
