create function public.sign_mortgage_contract(contract_id text, signer text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array(
    'sign_mortgage_contract', sign_mortgage_contract.contract_id, sign_mortgage_contract.signer
  );
  response jsonb := private.replay_response(sign_mortgage_contract.idempotency_key, request);
  contract public.mortgage_contracts;
  borrower uuid;
  lender   uuid;
begin
  if response is not null then
    return response;
  end if;

  select a.borrower_id, o.lender_id into borrower, lender
  from public.mortgage_contracts c
  join public.mortgage_offers o on o.id = c.offer_id
  join public.mortgage_applications a on a.id = o.application_id
  where c.id = sign_mortgage_contract.contract_id;

  if not found then
    raise sqlstate 'PT404' using message = 'mortgage_contract_not_found';
  end if;

  case sign_mortgage_contract.signer
    when 'borrower' then
      if auth.uid() is distinct from borrower then
        raise sqlstate 'PT403' using message = 'not_the_borrower';
      end if;
    when 'lender' then
      if auth.uid() is distinct from lender then
        raise sqlstate 'PT403' using message = 'not_the_lender';
      end if;
    when 'notary' then
      if not private.may_act_as('notary') then
        raise sqlstate 'PT403' using message = 'not_a_notary';
      end if;
    else
      raise sqlstate 'PT400' using message = 'signer_unknown';
  end case;

  select * into contract
  from public.mortgage_contracts c
  where c.id = sign_mortgage_contract.contract_id
  for no key update;

  case sign_mortgage_contract.signer
    when 'borrower' then contract.borrower_signed_at := coalesce(contract.borrower_signed_at, now());
    when 'lender' then contract.lender_signed_at := coalesce(contract.lender_signed_at, now());
    when 'notary' then contract.notary_signed_at := coalesce(contract.notary_signed_at, now());
  end case;

  update public.mortgage_contracts c
  set borrower_signed_at = contract.borrower_signed_at,
      lender_signed_at = contract.lender_signed_at,
      notary_signed_at = contract.notary_signed_at,
      status = case
        when c.status = 'draft' and num_nulls(
          contract.borrower_signed_at, contract.lender_signed_at, contract.notary_signed_at
        ) = 0 then 'signed'
        else c.status
      end,
      updated_at = greatest(c.updated_at, now())
  where c.id = contract.id
  returning * into contract;

  return private.store_response(
    sign_mortgage_contract.idempotency_key, request, private.mortgage_contract_json(contract)
  );
end;
$$;

comment on function public.sign_mortgage_contract is
  'Signs a mortgage contract as its borrower, its lender or the notary (a thinker with that role, or a trusted '
  'server), in any order; signing again changes nothing. With all three signatures its status becomes signed. Returns '
  'the contract. A repeated call with the same idempotency_key returns the stored response (private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, signer_unknown (400); session_ended (401); not_a_notary, '
  'not_the_borrower, not_the_lender (403); mortgage_contract_not_found (404); request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.sign_mortgage_contract to authenticated, service_role;
