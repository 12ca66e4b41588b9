create function private.voucher_json(voucher public.vouchers)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  -- of a voucher with several holders, one learns nothing of another
  if voucher.holder_id is not null
    and not coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id), false)
    and not private.may_act_as('admin') then
    voucher.holder_id := null;
  end if;

  return to_jsonb(voucher) || jsonb_build_object(
    'issuer_uid', private.uid_of(voucher.issuer_id),
    'holder_uid', private.uid_of(voucher.holder_id)
  );
end;
$$;

comment on function private.voucher_json is
  'A voucher as the functions return it: its columns, and the uids of issuer and holder; the holder to the parties, trusted '
  'servers and admins only.';

grant execute on function private.voucher_json to service_role, authenticated;
