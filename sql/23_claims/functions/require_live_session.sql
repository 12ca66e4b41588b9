create function private.require_live_session()
returns void
language plpgsql -- caches the plan for the next call
stable
security definer
set search_path = ''
as $$
declare
  session constant uuid := (auth.jwt() ->> 'portal_session')::uuid;
begin
  if not exists (select from private.claims c where c.session_id = session and c.thinker_id = auth.uid()) then
    raise sqlstate 'PT401' using message = 'session_ended';
  end if;
  perform private.require_session(session);
end;
$$;

comment on function private.require_live_session is
  'Lets a request pass whose browser session (portal_session in the JWT, which this server signs) has not ended and '
  'acts as the thinker of the JWT. '
  'Raises: session_ended (401).';

grant execute on function private.require_live_session to authenticated;
