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
  largest          numeric;
begin
  select a.desired_loan, a.currency into desired, desired_currency
  from public.mortgage_applications a
  where a.id = new.application_id;

  -- {"amount": 1, "principal": "25000000"}: a larger principal beside it counts, up to what the borrower asked for; any
  -- other number may be a time or the sum of the repayments
  select max(n.number) into largest
  from (
    select
      case
        when jsonb_typeof(v.value) = 'number'
          or (jsonb_typeof(v.value) = 'string' and v.value #>> '{}' ~ '^[0-9]{1,16}([.][0-9]{1,16})?$')
          then (v.value #>> '{}')::numeric
      end as number
    from (
      select new.loan as value
      where jsonb_typeof(new.loan) = 'object'
      union all
      select jsonb_path_query(new.loan, '$.*[*] ? (@.type() == "object")')
    ) o
    cross join lateral jsonb_each(o.value) v
    where lower(v.key collate "C") in ('amount', 'principal')
  ) n
  where n.number < 9007199254740992;
  if offered is null and (desired is not null or coalesce(largest, 0) = 0) then
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

  new.loan_amount := case
    when offered is null then round(largest)
    when largest is null then offered
    else greatest(offered, round(least(largest, desired)))
  end;
  return new;
end;
$$;

comment on function private.tg_mortgage_offers__set_loan is
  'Sets the loan that is offered: {amount, currency} of the lender''s loan, otherwise the application''s desired '
  'loan, otherwise the largest amount or principal that the lender''s loan has as a text or within. '
  'If the lender''s loan has a larger amount or principal (a number, also as a text) in it, or in an object '
  'in it, that counts, at most the desired loan. '
  'Raises: currency_unknown (400).';

create trigger tg_mortgage_offers__set_loan
  before insert or update of loan, application_id on public.mortgage_offers
  for each row
  execute function private.tg_mortgage_offers__set_loan();
