create function public.list_events(max_rows integer default 50)
returns jsonb
language sql
stable
set search_path = ''
set statement_timeout = '10s'
as $$
  select private.require_admin();

  select coalesce(jsonb_agg(private.event_json(e) order by e.created_at desc, e.id desc), '[]')
  from (
    select *
    from public.events
    order by created_at desc, id desc
    limit least(greatest(list_events.max_rows, 1), 200)
  ) e
$$;

comment on function public.list_events is
  'The latest events, newest first: max_rows of them, from 1 to 200. '
  'Raises: not_an_admin (403).';

grant execute on function public.list_events to service_role, authenticated;
