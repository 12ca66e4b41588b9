create function private.tg_mortgage_contracts__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge(
    'mortgage', 'mortgage_contract', new.id, o.loan_amount, o.loan_currency, o.lender_id,
    jsonb_build_object('borrower', a.borrower_id)
  )
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
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
