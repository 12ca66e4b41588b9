create function public.offer_mortgage(
  application_id  text,
  offer_id        text    default null,
  interest_rate   numeric default null,
  monthly_payment bigint  default null,
  loan            jsonb   default null,
  interest        jsonb   default null,
  repayment       jsonb   default null,
  fees            jsonb   default null,
  validity        jsonb   default null,
  terms_ref       jsonb   default null,
  room_refs       jsonb   default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request     jsonb := private.checked_request(
    jsonb_build_array(
      'offer_mortgage', offer_mortgage.application_id, offer_mortgage.offer_id, offer_mortgage.interest_rate::text,
      offer_mortgage.monthly_payment, offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment,
      offer_mortgage.fees, offer_mortgage.validity, offer_mortgage.terms_ref, offer_mortgage.room_refs
    )
  );
  response    jsonb := private.replay_response(offer_mortgage.idempotency_key, request);
  lender      uuid := private.acting_thinker();
  new_id      text := coalesce(offer_mortgage.offer_id, private.new_id('mort-offer'));
  room        text := 'mortgage:offer:' || new_id;
  application public.mortgage_applications;
  offer       public.mortgage_offers;
begin
  if response is not null then
    return response;
  end if;

  if not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'lender_role_required';
  end if;

  perform private.use_today(applications => 1, bytes => pg_column_size(request));

  select * into application
  from public.mortgage_applications a
  where a.id = offer_mortgage.application_id
  for no key update;

  if not found then
    raise sqlstate 'PT404' using message = 'application_not_found';
  end if;
  if application.status not in ('open', 'offered') then
    raise sqlstate 'PT409' using message = 'application_closed', detail = application.status;
  end if;

  if offer_mortgage.monthly_payment not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  perform private.check_interest(offer_mortgage.interest_rate);

  -- an import that puts documents into the room of this id looks for offers before
  perform pg_advisory_xact_lock(private.lock_number(room));
  insert into public.mortgage_offers (
    id, application_id, lender_id, interest_rate, monthly_payment,
    loan, interest, repayment, fees, validity, terms_ref, room_refs
  )
  values (
    new_id, application.id, lender, trim_scale(offer_mortgage.interest_rate), offer_mortgage.monthly_payment,
    offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment, offer_mortgage.fees,
    offer_mortgage.validity, offer_mortgage.terms_ref,
    coalesce(offer_mortgage.room_refs, jsonb_build_object('negotiationRoomId', room, 'contractRoomId', null))
  )
  on conflict (id) do nothing
  returning * into offer;
  if not found then
    raise sqlstate 'PT409' using message = 'offer_exists';
  end if;

  update public.mortgage_applications a set status = 'offered' where a.id = application.id and a.status = 'open';

  if offer_mortgage.room_refs is null then
    insert into public.rooms (id, owner_id, meta)
    values (room, lender, jsonb_build_object('source', 'mortgage', 'offer_id', offer.id))
    on conflict (id) do nothing;
  end if;
  -- another negotiation had this id, whose documents the parties of this offer would see
  if exists (
    select from public.rooms r
    where r.id = room and (r.owner_id is distinct from lender or r.meta = '{"source": "import"}')
  ) then
    raise sqlstate 'PT409' using message = 'offer_exists';
  end if;

  return private.store_response(offer_mortgage.idempotency_key, request, private.offer_json(offer));
end;
$$;

comment on function public.offer_mortgage is
  'Offers a mortgage for an application, whose status becomes offered. The acting thinker needs the role lender, '
  'unless a trusted server acts for it. interest_rate is a fraction a year, monthly_payment in the currency''s minor '
  'unit (cents); loan to terms_ref are free JSON of the lender. Without room_refs a room for the negotiation is '
  'created. Returns the offer. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: amount_out_of_range, idempotency_key_invalid, interest_out_of_range, json_unreasonable, query_too_large, '
  'uid_invalid (400); not_signed_in, session_ended (401); lender_role_required (403); application_not_found (404); '
  'application_closed, offer_exists, request_in_progress (409); idempotency_key_reused (422); daily_limit_reached '
  '(429).';

grant execute on function public.offer_mortgage to authenticated, service_role;
