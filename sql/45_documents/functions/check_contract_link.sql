create function public.check_contract_link(voucher_id text default null, room_id text default null)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.is_service() then
    return true;
  end if;
  if check_contract_link.voucher_id is not null and not exists (
    select from public.vouchers v where v.id = check_contract_link.voucher_id and v.issuer_id = auth.uid()
  ) and check_contract_link.voucher_id not in (select private.held_vouchers()) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if check_contract_link.room_id is not null and check_contract_link.room_id not in (select private.my_rooms()) and (
    -- a new room becomes the actor's own, except a name that is reserved for the room of a mortgage
    check_contract_link.room_id like 'mortgage:%'
    or exists (select from public.rooms r where r.id = check_contract_link.room_id)
  ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
  return true;
end;
$$;

comment on function public.check_contract_link is
  'True if the caller may link a document to this voucher and room; called before a document is stored. A thinker must '
  'be the voucher''s issuer or a holder. If the room exists, the thinker must be in it; a room named mortgage:... must '
  'belong to one of its mortgages. A trusted server may link anything. '
  'Raises: not_your_room (403); voucher_not_found (404).';

grant execute on function public.check_contract_link to authenticated, service_role;
