create function public.list_vouchers(
  issuer_uid text default null,
  holder_uid text default null,
  status     text default null
)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.voucher_json(v) order by v.created_at, v.id), '[]')
  from public.vouchers v
  where (list_vouchers.issuer_uid is null or v.issuer_id = private.thinker_id(list_vouchers.issuer_uid))
    and (list_vouchers.holder_uid is null or v.holder_id = private.thinker_id(list_vouchers.holder_uid))
    and (list_vouchers.status is null or v.status = list_vouchers.status)
$$;

comment on function public.list_vouchers is
  'The vouchers that the caller may see and that match all given filters, oldest first.';

grant execute on function private.thinker_id to service_role, authenticated;
grant execute on function public.list_vouchers to service_role, authenticated;
