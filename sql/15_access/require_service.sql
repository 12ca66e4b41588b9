create function private.require_service()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not (private.is_service() or private.is_operator()) then
    raise sqlstate 'PT403' using message = 'not_a_server';
  end if;
end;
$$;

comment on function private.require_service is
  'Lets trusted servers and operators (private.is_operator) pass. For functions that only service_role may execute: a '
  'wrong grant alone opens none of them. '
  'Raises: not_a_server (403).';
