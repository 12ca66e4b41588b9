-- PostgREST applies filters to what a function returns while its transaction holds its locks. Roles belong to the whole
-- server, and PostgREST reads only settings for all databases; what is set stays, as on Supabase.
-- It also prepares each new statement of a client, and keeps it in its connection: one for each choice of columns.
-- Before each request it calls public.check_request, which measures the body.
-- PostgreSQL compares nested filters on a partitioned table with themselves, to leave out what no row can match: twice
-- as long for every two levels. It finds the partitions without that.
-- A planner that knows the values of filters compiles each regular expression, before a policy can refuse it, and keeps
-- megabytes of it. Without statistics of texts it expects many rows, and compiles for half a second what reads a few.
do $$
declare
  setting record;
begin
  for setting in
    select r.rolname as role, s.name, s.value
    from pg_catalog.pg_roles r
    join (
      values ('anon', 'statement_timeout', '2s'), ('anon', 'lock_timeout', '1900ms'),
        ('authenticated', 'statement_timeout', '2s'), ('authenticated', 'lock_timeout', '1900ms'),
        ('authenticator', 'pgrst.db_prepared_statements', 'false'),
        ('authenticator', 'pgrst.db_pre_request', 'public.check_request'),
        ('authenticator', 'constraint_exclusion', 'off'),
        ('authenticator', 'jit', 'off'),
        ('authenticator', 'plan_cache_mode', 'force_generic_plan')
    ) as s (role, name, value) on s.role = r.rolname
    where not exists (select from unnest(r.rolconfig) as line where split_part(line, '=', 1) = s.name)
  loop
    begin
      execute format('alter role %I set %s = %L', setting.role, setting.name, setting.value);
    exception
      when insufficient_privilege then
        raise warning 'set % = % for the role %, as a superuser', setting.name, setting.value, setting.role;
    end;
  end loop;
end;
$$;

notify pgrst, 'reload config';
