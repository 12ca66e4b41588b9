-- PostgREST applies filters to what a function returns while its transaction holds its locks. Roles belong to the whole
-- server, and PostgREST reads only settings for all databases; what is set stays, as on Supabase.
do $$
declare
  setting record;
begin
  for setting in
    select r.rolname as role, s.name, s.value
    from pg_catalog.pg_roles r
    cross join (values ('statement_timeout', '2s'), ('lock_timeout', '1900ms')) as s (name, value)
    where r.rolname in ('anon', 'authenticated')
      and not exists (select from unnest(r.rolconfig) as line where split_part(line, '=', 1) = s.name)
  loop
    execute format('alter role %I set %I = %L', setting.role, setting.name, setting.value);
  end loop;
end;
$$;
