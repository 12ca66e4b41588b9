create function private.require_contract_link(voucher_id text, room_id text, matched boolean default false)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if require_contract_link.matched then
    perform private.require_in_room(require_contract_link.room_id);
  end if;
  if require_contract_link.voucher_id is not null and not exists (
    select from public.vouchers v where v.id = require_contract_link.voucher_id and v.issuer_id = auth.uid()
  ) and require_contract_link.voucher_id not in (select private.held_vouchers()) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if require_contract_link.room_id is not null
    and require_contract_link.room_id not in (select private.my_rooms())
    and (
      -- a new room becomes the actor's own, except a name that is reserved for the room of a mortgage
      require_contract_link.room_id like 'mortgage:%'
      or exists (select from public.rooms r where r.id = require_contract_link.room_id)
    ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
end;
$$;

comment on function private.require_contract_link is
  'Checks that the acting thinker may link a document to this voucher and room: it must be the voucher''s issuer or a '
  'holder. If the room exists, the thinker must be in it; a room named mortgage:... must belong to one of its '
  'mortgages. With matched the thinker must have been matched into the room, and be there now. '
  'Raises: not_your_room (403); voucher_not_found (404).';
