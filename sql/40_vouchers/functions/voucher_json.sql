create function private.voucher_json(voucher public.vouchers)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  -- a voucher may have several holders: they do not see each other
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
  'A voucher as the functions return it: its columns and the uids of issuer and holder. Only the parties, trusted '
  'servers and admins see the holder.';

grant execute on function private.voucher_json to service_role, authenticated;
