create function public.list_transfers(wallet_address text default null, direction text default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.transfer_json(t) order by t.created_at desc, t.id desc), '[]')
  from public.transfers t
  where (list_transfers.wallet_address is null or t.wallet_address = list_transfers.wallet_address)
    and (list_transfers.direction is null or t.direction = list_transfers.direction)
$$;

comment on function public.list_transfers is
  'The transfers that the caller may see and that match all given filters exactly, newest first.';

grant execute on function public.list_transfers to service_role, authenticated;
