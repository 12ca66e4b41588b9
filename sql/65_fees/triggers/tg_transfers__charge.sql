create function private.tg_transfers__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge(
    'transfer', 'transfer', new.id, abs(new.fiat_amount), new.fiat_currency, new.thinker_id
  );
  return null;
end;
$$;

comment on function private.tg_transfers__charge is
  'Charges the fees of a transfer on its fiat amount, without its sign: minus 1000 out is 1000 in. A correction (a '
  'negative amount) that a trusted server or an operator logs is neither charged nor refunded: a thinker must not '
  'decide what is one.';

create trigger tg_transfers__charge
  after insert on public.transfers
  for each row
  when (
    (new.fiat_amount >= 0 or not (private.is_service() or private.is_operator())) and not private.is_import()
  )
  execute function private.tg_transfers__charge();
