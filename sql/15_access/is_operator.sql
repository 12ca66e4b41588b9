create function private.is_operator()
returns boolean
language sql
stable
set search_path = ''
as $$
  select pg_has_role(
    coalesce(nullif(current_setting('role'), 'none'), session_user),
    (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'private'),
    'usage'
  )
$$;

comment on function private.is_operator is
  'True in a session of the schema''s owner (psql, Studio''s SQL editor, pg_cron, the command line), who may do '
  'everything anyway. False if the session has switched to a caller''s role, as every request does.';

grant execute on function private.is_operator to authenticated, service_role;
