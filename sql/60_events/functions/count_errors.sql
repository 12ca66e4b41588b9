create function public.count_errors()
returns bigint
language sql
stable
security definer
set search_path = ''
set jit = off
as $$
  select private.require_service();

  select count(*)
  from public.events e
  where case e.type when 'telemetry.event' then coalesce(e.meta ->> 'type', '') else e.type end
    collate "C" ~* 'error|fail'
    and e.created_at > now() - interval '30 days'
$$;

comment on function public.count_errors is
  'The total of error_summary alone, for outsiders (GET /api/autofix/status). '
  'Raises: not_a_server (403).';

grant execute on function public.count_errors to service_role;
