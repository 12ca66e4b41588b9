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
    -- a new room is the actor's own; but the rooms of mortgages are named after them, and not for others to make
    check_contract_link.room_id like 'mortgage:%'
    or exists (select from public.rooms r where r.id = check_contract_link.room_id)
  ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
  return true;
end;
$$;

comment on function public.check_contract_link is
  'Asked before a document is recorded: true when the caller may link one to this voucher and room. A thinker must be the '
  'voucher''s issuer or a holder, and in the room, if it exists; a room named mortgage:... must be one of its '
  'mortgages'' rooms. A trusted server may link anything. '
  'Refuses: voucher_not_found (404), not_your_room (403).';

grant execute on function public.check_contract_link to authenticated, service_role;
