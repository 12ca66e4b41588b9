create function public.error_summary()
returns jsonb
language sql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
  select private.require_admin();

  with errors as (
    select e as event, reported.type, e.created_at, e.id
    from public.events e
    -- a page's report is an event telemetry.event, whose meta has the reported type
    cross join lateral (
      select case e.type when 'telemetry.event' then coalesce(e.meta ->> 'type', '') else e.type end as type
    ) reported
    where reported.type collate "C" ~* 'error|fail' and e.created_at > now() - interval '30 days'
  )
  select jsonb_build_object(
    'total', (select count(*) from errors),
    'by_type', (
      select coalesce(jsonb_object_agg(t.type, t.count), '{}')
      from (select type, count(*) from errors group by type order by 2 desc, 1 limit 100) t
    ),
    'recent', (
      select coalesce(jsonb_agg(private.event_json(e.event) order by e.created_at desc, e.id desc), '[]')
      from (select * from errors order by created_at desc, id desc limit 20) e
    )
  )
$$;

comment on function public.error_summary is
  'The errors among the events of the last 30 days: {total, by_type (the 100 most frequent), recent (the 20 newest)}, '
  'for GET /api/autofix/status. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.error_summary to service_role, authenticated;
