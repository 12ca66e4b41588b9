create function public.list_settlements(
  beneficiary_uid text    default null,
  status          text    default null,
  max_rows        integer default 200,
  after           text    default null
)
returns jsonb[]
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_settlements.after);
  page refcursor;
begin
  perform private.require_admin();

  open page for
    select
      private.settlement_json(s) as item,
      array[s.period_from::text, s.created_at::text, s.id::text] as key
    from public.settlements s
    where (
        list_settlements.beneficiary_uid is null
        or s.beneficiary_id = private.thinker_id(list_settlements.beneficiary_uid)
      )
      and (list_settlements.status is null or s.status = list_settlements.status)
      and (s.period_from, s.created_at, s.id)
        < (coalesce(key[1]::date, 'infinity'), coalesce(key[2]::timestamptz, 'infinity'), key[3]::uuid)
    order by s.period_from desc, s.created_at desc, s.id desc
    limit private.page_rows(list_settlements.max_rows) + 1;
  return private.read_page(page, list_settlements.max_rows);
end;
$$;

comment on function public.list_settlements is
  'The settlements that match all given filters, latest period first: a page of max_rows, from 1 to 1000 '
  '(private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_settlements to service_role, authenticated;
