create function public.applied_migrations()
returns text[]
language plpgsql -- resolves the table when it is called: a database that was not migrated has none
stable
security definer
set search_path = ''
as $$
declare
  versions text[];
begin
  perform private.require_service();
  select coalesce(array_agg(m.version order by m.version), array[]::text[])
  into versions
  from supabase_migrations.schema_migrations m;
  return versions;
exception
  when undefined_table or invalid_schema_name then
    return array[]::text[];
end;
$$;

comment on function public.applied_migrations is
  'The versions of the migrations that were applied to the database (GET /health/ready). '
  'Raises: not_a_server (403).';

grant execute on function public.applied_migrations to service_role;
