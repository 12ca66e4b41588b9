create function private.require_admin()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  perform private.is_valid_request();
  if not (private.may_act_as('admin') or private.is_operator()) then
    raise sqlstate 'PT403' using message = 'not_an_admin';
  end if;
end;
$$;

comment on function private.require_admin is
  'Lets trusted servers, admins and operators (private.is_operator) pass, with a small statement. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function private.require_admin to authenticated, service_role;
