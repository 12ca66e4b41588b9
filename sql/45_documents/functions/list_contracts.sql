create function public.list_contracts(voucher_id text default null, room_id text default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.contract_json(c) order by c.created_at desc, c.id desc), '[]')
  from public.contracts c
  where (list_contracts.voucher_id is null and list_contracts.room_id is null)
    or exists (
      select from public.contract_links l
      where l.contract_id = c.id
        and (list_contracts.voucher_id is null or l.voucher_id = list_contracts.voucher_id)
        and (list_contracts.room_id is null or l.room_id = list_contracts.room_id)
    )
$$;

comment on function public.list_contracts is
  'The documents that the caller may see, newest first; those linked to a voucher, to a room, or to both by one link.';

grant execute on function public.list_contracts to service_role, authenticated;
