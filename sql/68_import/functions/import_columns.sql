create function private.import_columns(legacy_table text)
returns text[]
language sql
stable
set search_path = ''
as $$
  select array_agg(t.attname::text order by t.attnum)
  from pg_catalog.pg_attribute t
  join pg_catalog.pg_attribute m on m.attname = t.attname
  where t.attrelid = to_regclass(format('public.%I', import_columns.legacy_table))
    and m.attrelid = to_regclass(format('private.import_%s', import_columns.legacy_table))
    and t.attnum > 0 and not t.attisdropped
$$;

comment on function private.import_columns is
  'The columns of a table that are imported: those of its view private.import_<table>, which maps the legacy columns.';
