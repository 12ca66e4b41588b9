create function public.require_admin_session(session_id uuid)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_admin();
  perform private.require_session(require_admin_session.session_id);
end;
$$;

comment on function public.require_admin_session is
  'Lets an admin session pass that has not ended (end_session), whose actor is a trusted server or still an admin. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.require_admin_session to authenticated, service_role;
