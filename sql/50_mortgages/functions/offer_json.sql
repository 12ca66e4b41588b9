create function private.offer_json(offer public.mortgage_offers)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(offer) || jsonb_build_object(
    'lender_uid', private.uid_of(offer.lender_id),
    'borrower_uid', private.uid_of(a.borrower_id),
    'differs_from_application', private.loan_difference(offer, a) <> '{}'
  )
  from public.mortgage_applications a
  where a.id = offer.application_id
$$;

comment on function private.offer_json is
  'An offer as the functions return it: its columns, the uids of lender and borrower, and whether its loan differs '
  'from the one that the borrower desired.';
