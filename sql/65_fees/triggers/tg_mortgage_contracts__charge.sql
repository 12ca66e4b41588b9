create function private.tg_mortgage_contracts__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  offered  jsonb;
  amount   bigint;
  currency text;
begin
  select o.loan, a.desired_loan, a.currency into offered, amount, currency
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = new.offer_id;

  -- the offer's loan, if it is an amount of money; otherwise the application's desired loan
  if jsonb_typeof(offered -> 'amount') = 'number' then
    if (offered ->> 'amount')::numeric between 0 and 9007199254740991 then
      amount := round((offered ->> 'amount')::numeric);
      currency := coalesce(
        case jsonb_typeof(offered -> 'currency') when 'string' then offered ->> 'currency' end, currency, 'EUR'
      );
    end if;
  end if;

  perform private.charge('mortgage', 'mortgage_contract', new.id, amount, currency);
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__charge is
  'Charges the fees of a mortgage on the accepted loan: the offer''s {amount, currency}, otherwise the application''s '
  'desired loan.';

create trigger tg_mortgage_contracts__charge
  after insert on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__charge();
