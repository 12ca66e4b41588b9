create function private.mortgage_contract_json(contract public.mortgage_contracts)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(contract) || jsonb_build_object(
    'application_id', o.application_id,
    'lender_uid', private.uid_of(o.lender_id),
    'borrower_uid', private.uid_of(a.borrower_id)
  )
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = contract.offer_id
$$;

comment on function private.mortgage_contract_json is
  'A mortgage contract as the functions return it: its columns, the application''s id, and the uids of lender and '
  'borrower.';
