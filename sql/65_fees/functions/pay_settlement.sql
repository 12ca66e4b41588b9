create function public.pay_settlement(
  settlement_id   uuid,
  amount_cents    bigint default null,
  paid_on         date   default null,
  reference       text   default null,
  payer_uid       text   default null,
  idempotency_key text   default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  request    jsonb := jsonb_build_array(
    'pay_settlement', pay_settlement.settlement_id, pay_settlement.amount_cents, pay_settlement.paid_on,
    pay_settlement.reference, pay_settlement.payer_uid
  );
  response   jsonb := private.replay_response(pay_settlement.idempotency_key, request);
  settlement public.settlements;
  today      date;
  payer      uuid := private.thinker_id(pay_settlement.payer_uid);
  remainder  numeric;
begin
  if response is not null then
    return response;
  end if;

  perform private.require_admin();
  select * into settlement from public.settlements s where s.id = pay_settlement.settlement_id for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;
  if settlement.status <> 'invoiced' then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = settlement.status;
  end if;
  select (now() at time zone s.time_zone)::date into today from private.settings s;
  if pay_settlement.amount_cents <= 0 or pay_settlement.paid_on not between '0001-01-01' and today
    or char_length(pay_settlement.reference) > 1000
  then
    raise sqlstate 'PT400' using message = 'payment_invalid';
  end if;

  remainder := least(private.settlement_remainder(settlement), private.settlement_remainder(settlement, payer));
  if remainder <= 0 then
    raise sqlstate 'PT409' using message = 'nothing_to_pay';
  end if;

  insert into public.settlement_payments (settlement_id, payer_id, amount_cents, paid_on, reference)
  values (
    settlement.id, payer, coalesce(pay_settlement.amount_cents, remainder), coalesce(pay_settlement.paid_on, today),
    pay_settlement.reference
  );

  -- the trigger of the payment has moved it if it is paid in full
  select * into settlement from public.settlements s where s.id = settlement.id;
  return private.store_response(
    pay_settlement.idempotency_key, request, private.settlement_json(settlement)
  );
end;
$$;

comment on function public.pay_settlement is
  'Records a payment of an invoiced settlement; no money is moved. amount_cents in the minor unit of its currency: by '
  'default what is not paid yet. paid_on: the day, in the time zone of private.settings, by default today. payer_uid: '
  'whose debt it pays; by default the oldest first. With the last part the settlement is paid. Returns the '
  'settlement. A repeated call with the same idempotency_key returns the stored response (private.replay_response); '
  'without one a part counts again. settlement_move_refused (with the current status as detail) for any other '
  'settlement; nothing_to_pay if it, or the payer''s part, is not positive; the trigger raises payment_too_high (409) '
  'for more than that. '
  'Raises: idempotency_key_invalid, payment_invalid, query_too_large (400); session_ended (401); not_an_admin (403); '
  'settlement_not_found (404); nothing_to_pay, request_in_progress, settlement_move_refused (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.pay_settlement to authenticated, service_role;
