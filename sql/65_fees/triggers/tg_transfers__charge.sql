create function private.tg_transfers__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge('transfer', 'transfer', new.id, new.fiat_amount, new.fiat_currency);
  return null;
end;
$$;

comment on function private.tg_transfers__charge is
  'Charges the fees of a transfer, of its fiat amount. A correction (a negative amount) is charged nothing, and gives nothing back: '
  'who logs it is nobody to decide that.';

create trigger tg_transfers__charge
  after insert on public.transfers
  for each row
  when (new.fiat_amount >= 0)
  execute function private.tg_transfers__charge();
