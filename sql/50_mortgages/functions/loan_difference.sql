create function private.loan_difference(offer public.mortgage_offers)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select case
    when (offer.loan_amount, offer.loan_currency) is distinct from (a.desired_loan, a.currency) then jsonb_build_object(
      'loan', jsonb_build_object('amount', offer.loan_amount, 'currency', offer.loan_currency),
      'desiredLoan', jsonb_build_object('amount', a.desired_loan, 'currency', a.currency)
    )
    else '{}'
  end
  from public.mortgage_applications a
  where a.id = offer.application_id
$$;

comment on function private.loan_difference is
  'For the event log: {loan, desiredLoan} of an offer whose loan differs from the one that the borrower desired; '
  'else {}.';
