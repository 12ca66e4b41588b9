create function public.list_transfers(
  wallet_address text    default null,
  direction      text    default null,
  max_rows       integer default 1000,
  after          text    default null,
  max_bytes      integer default null
)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_transfers.after);
  page refcursor;
  -- the policy alone, which knows admins, would read the rows of all others
  mine uuid;
begin
  perform private.is_valid_request();
  if not private.may_act_as('admin') then
    mine := auth.uid();
  end if;
  open page for
    select private.transfer_json(t) as item, array[t.created_at::text, t.id] as key
    from public.transfers t
    where (list_transfers.wallet_address is null or t.wallet_address = list_transfers.wallet_address)
      and (list_transfers.direction is null or t.direction = list_transfers.direction)
      and (mine is null or t.thinker_id = mine)
      and (t.created_at, t.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by t.created_at desc, t.id desc
    limit private.page_rows(list_transfers.max_rows) + 1;
  return private.read_page(page, list_transfers.max_rows, max_bytes => list_transfers.max_bytes);
end;
$$;

comment on function public.list_transfers is
  'The transfers that the caller may see and that match all given filters exactly, newest first: a page of max_rows, '
  'from 1 to 1000 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function public.list_transfers to service_role, authenticated;
