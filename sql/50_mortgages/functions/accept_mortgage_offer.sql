create function public.accept_mortgage_offer(offer_id text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request     jsonb := jsonb_build_array('accept_mortgage_offer', accept_mortgage_offer.offer_id);
  response    jsonb := private.replay_response(accept_mortgage_offer.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
  offer       public.mortgage_offers;
  contract    public.mortgage_contracts;
begin
  if response is not null then
    return response;
  end if;

  select a.* into application
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = accept_mortgage_offer.offer_id;

  if not found then
    raise sqlstate 'PT404' using message = 'offer_not_found';
  end if;
  if application.borrower_id <> borrower then
    raise sqlstate 'PT403' using message = 'not_the_offers_borrower';
  end if;

  -- lock the application, so that two of its offers cannot be accepted concurrently
  select * into application from public.mortgage_applications a where a.id = application.id for no key update;
  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;
  if offer.status <> 'open' then
    raise sqlstate 'PT409' using message = 'offer_not_open', detail = offer.status;
  end if;
  -- an import may have brought an open offer for one that is closed
  if application.status not in ('open', 'offered') then
    raise sqlstate 'PT409' using message = 'offer_not_open', detail = application.status;
  end if;

  update public.mortgage_offers o
  set status = case when o.id = offer.id then 'accepted' else 'withdrawn' end
  where o.application_id = application.id and o.status = 'open';
  update public.mortgage_applications a set status = 'accepted' where a.id = application.id;

  insert into public.mortgage_contracts (offer_id) values (offer.id) returning * into contract;
  insert into public.rooms (id, type, owner_id, meta)
  values (
    'mortgage:contract:' || contract.id, 'contract', borrower,
    jsonb_build_object('source', 'mortgage', 'mortgage_contract_id', contract.id)
  )
  on conflict (id) do update set owner_id = excluded.owner_id;

  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;
  return private.store_response(
    accept_mortgage_offer.idempotency_key,
    request,
    jsonb_build_object(
      'contract', private.mortgage_contract_json(contract),
      'offer', private.offer_json(offer)
    )
  );
end;
$$;

comment on function public.accept_mortgage_offer is
  'Accepts an offer as its borrower: the application becomes accepted, its other offers are withdrawn, and a contract '
  'and its room are created. Returns {contract, offer}. offer_not_open has the status of the offer, or of a '
  'closed application, as detail. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'not_the_offers_borrower (403); offer_not_found (404); offer_not_open, request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.accept_mortgage_offer to authenticated;
