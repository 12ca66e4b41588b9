create function private.is_active_in_pg_cron(job text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  is_active boolean;
begin
  -- the schema cron exists only if pg_cron is installed
  if exists (
    select from pg_catalog.pg_namespace n where n.nspname = 'cron' and has_schema_privilege(n.oid, 'usage')
  ) then
    execute $query$
      select bool_or(c.active)
      from cron.job c
      where c.database = current_database()
        and c.command like '%select private.run\_job(' || quote_literal($1) || ')%'
    $query$
    into is_active
    using job;
  end if;
  return is_active;
end;
$$;

comment on function private.is_active_in_pg_cron is
  'Returns whether pg_cron runs a job of private.jobs: false if it is there but switched off (cron.alter_job), null if '
  'pg_cron does not have it.';
