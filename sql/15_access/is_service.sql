create function private.is_service()
returns boolean
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.role() = 'service_role', false)
$$;

comment on function private.is_service is
  'True when a trusted server asks (the JWT''s role is service_role): it may act where the legacy API asked nobody''s leave.';
