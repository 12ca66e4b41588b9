create function private.loan_difference(offer public.mortgage_offers, application public.mortgage_applications)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select case
    when (offer.loan_amount, offer.loan_currency) is distinct from (application.desired_loan, application.currency)
      then jsonb_build_object(
        'loan', jsonb_build_object('amount', offer.loan_amount, 'currency', offer.loan_currency),
        'desiredLoan', jsonb_build_object('amount', application.desired_loan, 'currency', application.currency)
      )
    else '{}'
  end
$$;

comment on function private.loan_difference is
  'For the event log: {loan, desiredLoan} of an offer whose loan differs from the one that its application desires; '
  'else {}.';
