create function private.voucher_json(voucher public.vouchers)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(voucher) || jsonb_build_object(
    'issuer_uid', private.uid_of(voucher.issuer_id),
    'holder_uid', private.uid_of(voucher.holder_id)
  )
$$;

comment on function private.voucher_json is 'A voucher as the functions return it: its columns, and the uids of issuer and holder.';

grant execute on function private.voucher_json to service_role, authenticated;
