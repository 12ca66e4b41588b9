create function public.list_presence(max_rows integer default 1000, after text default null)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_presence.after);
  page refcursor;
begin
  perform private.require_admin();

  open page for
    select
      to_jsonb(s) || jsonb_build_object('thinker_uid', private.uid_of(s.thinker_id)) as item,
      array[s.created_at::text, s.id::text] as key
    from public.presence_sessions s
    where (s.created_at, s.id) < (coalesce(key[1]::timestamptz, 'infinity'), key[2]::uuid)
    order by s.created_at desc, s.id desc
    limit private.page_rows(list_presence.max_rows) + 1;
  return private.read_page(page, list_presence.max_rows, oldest_first => true);
end;
$$;

comment on function public.list_presence is
  'All presence sessions, for admins (GET /api/presence/debug): a page of max_rows, from 1 to 1000. The first '
  'page has the newest sessions; each page is sorted oldest first (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_presence to service_role, authenticated;
