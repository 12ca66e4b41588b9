-- Roles and grants that every Supabase project has. Created only if they are missing, as in plain PostgreSQL.
do $$
begin
  if to_regrole('anon') is null then
    create role anon nologin noinherit;
  end if;
  if to_regrole('authenticated') is null then
    create role authenticated nologin noinherit;
  end if;
  if to_regrole('service_role') is null then
    create role service_role nologin noinherit bypassrls;
  end if;
  if to_regrole('authenticator') is null then
    create role authenticator login noinherit;
  end if;
  if to_regrole('supabase_admin') is null then
    create role supabase_admin nologin noinherit;
  end if;
  grant anon, authenticated, service_role to authenticator;
end;
$$;

grant usage on schema public to anon, authenticated, service_role;

-- The same default privileges as in a Supabase project, so that the migrations revoke them here too.
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;

create schema if not exists extensions;
grant usage on schema extensions to anon, authenticated, service_role;
