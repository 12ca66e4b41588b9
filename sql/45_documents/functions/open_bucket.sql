create function private.open_bucket()
returns void
language plpgsql
set search_path = ''
as $$
declare
  policy record;
  sees   constant text := 'name in (select private.my_document_keys())';
begin
  -- plain PostgreSQL has no storage.objects
  if to_regclass('storage.objects') is null then
    return;
  end if;
  for policy in
    select p.name, p.definition
    from (
      values
        (
          'thinkers read the documents that they see',
          format('for select to authenticated using (bucket_id = ''contracts'' and %s)', sees)
        ),
        -- whatever an operator allows in all buckets
        (
          'nobody else reads documents',
          format(
            'as restrictive for select to authenticated using (bucket_id is distinct from ''contracts'' or %s)', sees
          )
        ),
        (
          'outsiders have no documents',
          'as restrictive for all to anon using (bucket_id is distinct from ''contracts'')'
        ),
        (
          'only the server stores documents',
          'as restrictive for insert to authenticated with check (bucket_id is distinct from ''contracts'')'
        ),
        (
          'only the server changes documents',
          'as restrictive for update to authenticated using (bucket_id is distinct from ''contracts'')'
        ),
        (
          'only the server deletes documents',
          'as restrictive for delete to authenticated using (bucket_id is distinct from ''contracts'')'
        )
    ) as p (name, definition)
    where not exists (
      select from pg_catalog.pg_policy e
      where e.polrelid = to_regclass('storage.objects') and e.polname = p.name
    )
  loop
    execute format('create policy %I on storage.objects %s', policy.name, policy.definition);
  end loop;
end;
$$;

comment on function private.open_bucket is
  'Lets thinkers read the documents that they see in the bucket contracts of Supabase Storage, and only the server '
  'write there. A dump of the portal''s schemas leaves these policies out: call the function after a restore.';

select private.open_bucket();
