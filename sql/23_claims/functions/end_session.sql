create function public.end_session(session_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.require_service();
  insert into private.ended_sessions (session_id) values (end_session.session_id) on conflict do nothing;
  delete from private.ended_sessions e where e.ended_at < now() - interval '500 days';
end;
$$;

comment on function public.end_session is
  'Ends a browser session: its cookie proves nothing any more, wherever it was copied. '
  'Raises: not_a_server (403).';

grant execute on function public.end_session to service_role;
