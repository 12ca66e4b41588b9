create function public.adjust_fee(
  fee_event_id    uuid,
  amount_cents    bigint,
  reason          text,
  idempotency_key text default null
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
    'adjust_fee', adjust_fee.fee_event_id, adjust_fee.amount_cents, adjust_fee.reason
  );
  response   jsonb := private.replay_response(adjust_fee.idempotency_key, request);
  charged    public.fee_events;
  remainder  numeric;
  adjustment public.fee_events;
begin
  if response is not null then
    return response;
  end if;

  perform private.require_admin();
  if btrim(coalesce(adjust_fee.reason, '')) = '' then
    raise sqlstate 'PT400' using message = 'reason_required';
  end if;

  perform private.take_turn(adjust_fee.fee_event_id);
  select * into charged
  from public.fee_events e
  where e.id = adjust_fee.fee_event_id and e.reverses is null and e.adjusts is null;
  if not found then
    raise sqlstate 'PT404' using message = 'fee_event_not_found';
  end if;
  if exists (select from public.fee_events e where e.reverses = charged.id) then
    raise sqlstate 'PT409' using message = 'fee_already_reversed';
  end if;
  remainder := private.fee_remainder(charged);
  if coalesce(adjust_fee.amount_cents, -remainder) = 0
    or remainder + adjust_fee.amount_cents not between 0 and 9007199254740991
  then
    raise sqlstate 'PT409' using message = 'adjustment_refused', detail = remainder::text;
  end if;

  insert into public.fee_events (
    fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, adjusts, reason
  )
  values (
    charged.fee_id, charged.subject_type, charged.subject_id, coalesce(adjust_fee.amount_cents, -remainder),
    charged.currency, charged.beneficiary_id, charged.payer_id, charged.id, adjust_fee.reason
  )
  returning * into adjustment;

  return private.store_response(adjust_fee.idempotency_key, request, to_jsonb(adjustment));
end;
$$;

comment on function public.adjust_fee is
  'Credits a part of a charge (amount_cents negative), charges more (positive), or waives what is left of it (null), '
  'in the minor unit of the charge''s currency: a new fee event with the reason and the operator, due in the next '
  'settlement. Returns the new fee event. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response); without one it counts again. adjustment_refused, with what is left as detail, if '
  'nothing would change or less than zero would be left. '
  'Raises: idempotency_key_invalid, query_too_large, reason_required (400); session_ended (401); not_an_admin (403); '
  'fee_event_not_found (404); adjustment_refused, fee_already_reversed, request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.adjust_fee to authenticated, service_role;
