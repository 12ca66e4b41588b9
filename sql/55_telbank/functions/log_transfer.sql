create function public.log_transfer(
  direction        text,
  crypto_amount    numeric,
  crypto_symbol    text,
  fiat_major       numeric,
  fiat_currency    text,
  label            text    default null,
  wallet_address   text    default null,
  network          text    default null,
  external_account text    default null,
  meta             jsonb   default null,
  idempotency_key  text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request    jsonb := jsonb_build_array(
    'log_transfer', log_transfer.direction, log_transfer.crypto_amount, log_transfer.crypto_symbol,
    log_transfer.fiat_major, log_transfer.fiat_currency, log_transfer.label, log_transfer.wallet_address,
    log_transfer.network, log_transfer.external_account, log_transfer.meta
  );
  answer     jsonb := private.first_answer(log_transfer.idempotency_key, request);
  thinker    uuid;
  fiat_minor numeric;
  transfer   public.transfers;
begin
  if answer is not null then
    return answer;
  end if;

  if auth.uid() is not null or not private.is_service() then
    thinker := private.acting_thinker();
  end if;

  if coalesce(log_transfer.direction, '') not in ('in', 'out') then
    raise sqlstate 'PT400' using message = 'direction_unknown';
  end if;
  if num_nulls(
    log_transfer.crypto_amount, log_transfer.crypto_symbol, log_transfer.fiat_major, log_transfer.fiat_currency
  ) > 0 then
    raise sqlstate 'PT400' using message = 'amounts_required';
  end if;

  -- NaN is greater than every number, and so refused with the infinities
  fiat_minor := log_transfer.fiat_major * 10::numeric ^ private.currency_exponent(log_transfer.fiat_currency);
  if abs(fiat_minor) > 9007199254740991 or abs(log_transfer.crypto_amount) >= 1e18 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;

  insert into public.transfers (
    id, direction, wallet_address, network, crypto_amount, crypto_symbol,
    fiat_amount, fiat_currency, external_account, meta, label, thinker_id
  )
  values (
    private.new_id(log_transfer.direction),
    log_transfer.direction,
    log_transfer.wallet_address,
    log_transfer.network,
    log_transfer.crypto_amount,
    log_transfer.crypto_symbol,
    round(fiat_minor),
    log_transfer.fiat_currency,
    log_transfer.external_account,
    coalesce(log_transfer.meta, '{}'),
    coalesce(
      log_transfer.label,
      case log_transfer.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
    ),
    thinker
  )
  returning * into transfer;

  return private.keep_answer(log_transfer.idempotency_key, request, private.transfer_json(transfer));
end;
$$;

comment on function public.log_transfer is
  'Logs a transfer intent of the acting thinker, or of nobody in particular for a trusted server. fiat_major is in the '
  'currency''s major unit (euros) and is rounded to the minor unit, half away from zero; crypto_amount keeps 18 decimals. '
  'Returns the transfer. Refuses: not_signed_in (401); direction_unknown, amounts_required, amount_out_of_range (400). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.log_transfer to authenticated, service_role;
