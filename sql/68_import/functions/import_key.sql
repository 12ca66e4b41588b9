create function private.import_key(legacy_table text, id text)
returns text
language sql
stable
set search_path = ''
as $$
  select case a.atttypid
    when 'uuid'::regtype then format('private.import_uuid(%s)', import_key.id)
    else import_key.id
  end
  from pg_catalog.pg_attribute a
  where a.attrelid = to_regclass(format('public.%I', import_key.legacy_table)) and a.attname = 'id'
$$;

comment on function private.import_key is
  'The SQL of the id of an imported row, from the SQL of its legacy id.';
