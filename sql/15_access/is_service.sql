create function private.is_service()
returns boolean
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.role() = 'service_role', false)
$$;

comment on function private.is_service is
  'True for a trusted server (the JWT''s role is service_role), which may act where the legacy API did not check '
  'permissions.';
