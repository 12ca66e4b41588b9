create function private.import_digest(legacy_table text, alias text)
returns text
language sql
stable
set search_path = ''
as $$
  select format('hashtextextended(row(%s)::text, 0)', string_agg(format('%I.%I', import_digest.alias, c.name), ', '))
  from unnest(private.import_columns(import_digest.legacy_table)) as c (name)
$$;

comment on function private.import_digest is
  'The SQL of the hash of the imported columns, the same for a mapped and for a stored row of the table with this '
  'alias.';
