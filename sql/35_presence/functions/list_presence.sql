create function public.list_presence()
returns jsonb
language sql
stable
set search_path = ''
set statement_timeout = '10s'
as $$
  select private.require_admin();

  select coalesce(
    jsonb_agg(
      to_jsonb(s) || jsonb_build_object('thinker_uid', private.uid_of(s.thinker_id)) order by s.created_at, s.id
    ),
    '[]'
  )
  from public.presence_sessions s
$$;

comment on function public.list_presence is
  'All presence sessions, oldest first, for admins (GET /api/presence/debug). '
  'Raises: not_an_admin (403).';

grant execute on function public.list_presence to service_role, authenticated;
