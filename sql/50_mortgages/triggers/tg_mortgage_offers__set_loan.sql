create function private.tg_mortgage_offers__set_loan()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  desired          bigint;
  desired_currency text;
  offered          bigint := private.amount_of(new.loan -> 'amount');
  named            text;
  largest          bigint;
begin
  select a.desired_loan, a.currency into desired, desired_currency
  from public.mortgage_applications a
  where a.id = new.application_id;

  if offered is null then
    new.loan_amount := desired;
    new.loan_currency := desired_currency;
    return new;
  end if;

  if jsonb_typeof(new.loan -> 'currency') = 'string' then
    named := nullif(upper(new.loan ->> 'currency' collate "C"), '');
  end if;
  if private.is_currency(named) is false then
    raise sqlstate 'PT400' using message = 'currency_unknown';
  end if;
  new.loan_currency := coalesce(named, desired_currency, 'EUR');

  -- {"amount": 1, "principal": 25000000}: a larger number beside it counts, up to what the borrower asked for
  -- numbers are compared in the path: a call of a function for each of many would take minutes
  select round(max(number::numeric)) into largest
  from (
    values ('$.*[*] ? (@.type() == "number" && @ > $offered && @ < 9007199254740992)'::jsonpath),
      ('$.*.*[*] ? (@.type() == "number" && @ > $offered && @ < 9007199254740992)')
  ) as beside (path)
  cross join lateral jsonb_path_query(new.loan, beside.path, jsonb_build_object('offered', offered)) as number;
  new.loan_amount := case when largest is null then offered else greatest(offered, least(largest, desired)) end;
  return new;
end;
$$;

comment on function private.tg_mortgage_offers__set_loan is
  'Sets the loan that is offered: {amount, currency} of the lender''s loan, otherwise the application''s desired '
  'loan. If the lender''s loan has a larger number beside its amount, that number counts, at most the desired loan. '
  'Raises: currency_unknown (400).';

create trigger tg_mortgage_offers__set_loan
  before insert or update of loan, application_id on public.mortgage_offers
  for each row
  execute function private.tg_mortgage_offers__set_loan();
