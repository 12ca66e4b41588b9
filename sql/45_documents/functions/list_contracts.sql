create function public.list_contracts(
  voucher_id text    default null,
  room_id    text    default null,
  max_rows   integer default 1000,
  after      text    default null,
  max_bytes  integer default null
)
returns jsonb[]
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_contracts.after);
  page refcursor;
  is_limited boolean;
  links      uuid[];
  vouchers   text[];
  ids        uuid[];
begin
  perform private.is_valid_request();
  is_limited := not private.may_act_as('admin') and not private.is_operator();
  -- once: each takes as long as the caller has vouchers with documents
  if list_contracts.voucher_id is not null or list_contracts.room_id is not null then
    select array_agg(l.id), array_agg(distinct l.voucher_id) into links, vouchers
    from public.contract_links l
    where (list_contracts.voucher_id is null or l.voucher_id = list_contracts.voucher_id)
      and (list_contracts.room_id is null or l.room_id = list_contracts.room_id);
    ids := array(
      select l.contract_id
      from public.contract_links l
      where l.id = any (links)
        and (not is_limited or l.id = any (array(select private.my_contract_links(vouchers))))
    );
  elsif is_limited then
    ids := array(select private.my_contracts());
  end if;
  open page for
    select private.contract_json(c) as item, array[c.created_at::text, c.id::text] as key
    from public.contracts c
    where (ids is null or c.id = any (ids))
      and (c.created_at, c.id) < (coalesce(key[1]::timestamptz, 'infinity'), key[2]::uuid)
    order by c.created_at desc, c.id desc
    limit private.page_rows(list_contracts.max_rows) + 1;
  return private.read_page(page, list_contracts.max_rows, max_bytes => list_contracts.max_bytes);
end;
$$;

comment on function public.list_contracts is
  'The documents that the caller may see, newest first; those linked to a voucher, to a room, or to both by one link: '
  'a page of max_rows, from 1 to 1000 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function public.list_contracts to service_role, authenticated;
