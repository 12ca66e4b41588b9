create function private.tg_mortgage_contracts__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge('mortgage', 'mortgage_contract', new.id, o.loan_amount, o.loan_currency)
  from public.mortgage_offers o
  where o.id = new.offer_id;
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__charge is
  'Charges the fees of a mortgage on the accepted loan (mortgage_offers.loan_amount).';

create trigger tg_mortgage_contracts__charge
  after insert on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__charge();
