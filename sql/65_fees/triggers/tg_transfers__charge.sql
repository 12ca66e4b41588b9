create function private.tg_transfers__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge('transfer', 'transfer', new.id, new.fiat_amount, new.fiat_currency, new.thinker_id);
  return null;
end;
$$;

comment on function private.tg_transfers__charge is
  'Charges the fees of a transfer on its fiat amount. A correction (a negative amount) is neither charged nor '
  'refunded, because the thinker who logs it must not decide that.';

create trigger tg_transfers__charge
  after insert on public.transfers
  for each row
  when (new.fiat_amount >= 0 and not private.is_import())
  execute function private.tg_transfers__charge();
