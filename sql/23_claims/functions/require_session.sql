create function private.require_session(session_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if exists (select from private.ended_sessions e where e.session_id = require_session.session_id) then
    raise sqlstate 'PT401' using message = 'session_ended';
  end if;
end;
$$;

comment on function private.require_session is
  'Lets a browser session pass that has not ended. '
  'Raises: session_ended (401).';
