create function public.list_events(max_rows integer default 50, after text default null)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  key  text[] := private.page_key(list_events.after);
  page refcursor;
begin
  perform private.require_admin();

  open page for
    select
      to_jsonb(e) || jsonb_build_object('actor_uid', t.public_id) as item, array[e.created_at::text, e.id::text] as key
    from public.events e
    -- who sees all events sees all thinkers
    left join public.thinkers t on t.id = e.actor_id
    where (e.created_at, e.id) < (coalesce(key[1]::timestamptz, 'infinity'), key[2]::uuid)
    order by e.created_at desc, e.id desc
    limit 201;
  return private.read_page(page, least(list_events.max_rows, 200));
end;
$$;

comment on function public.list_events is
  'The latest events, newest first: a page of max_rows, from 1 to 200 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_events to service_role, authenticated;
