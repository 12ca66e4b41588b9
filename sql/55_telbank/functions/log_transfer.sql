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
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request    jsonb := private.checked_request(
    jsonb_build_array(
      'log_transfer', log_transfer.direction, log_transfer.crypto_amount::text, log_transfer.crypto_symbol,
      log_transfer.fiat_major::text, log_transfer.fiat_currency, log_transfer.label, log_transfer.wallet_address,
      log_transfer.network, log_transfer.external_account, log_transfer.meta
    )
  );
  response   jsonb := private.replay_response(log_transfer.idempotency_key, request);
  currency   text := upper(log_transfer.fiat_currency collate "C");
  thinker    uuid;
  fiat_minor numeric;
  transfer   public.transfers;
begin
  if response is not null then
    return response;
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

  -- also refuses NaN and infinity, because PostgreSQL sorts NaN above every number
  fiat_minor := log_transfer.fiat_major * 10::numeric ^ private.currency_exponent(currency);
  if abs(fiat_minor) > 9007199254740991 or abs(log_transfer.crypto_amount) >= 1e18 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;

  -- also a short one has a row, its indexes and an event
  perform private.use_today(transfers => 1, bytes => pg_column_size(request) + 1024);

  insert into public.transfers (
    id, direction, wallet_address, network, crypto_amount, crypto_symbol,
    fiat_amount, fiat_currency, external_account, meta, label, thinker_id
  )
  values (
    private.new_id(log_transfer.direction),
    log_transfer.direction,
    log_transfer.wallet_address,
    log_transfer.network,
    -- 0e-16383 has eight characters, and is printed with 16,385
    trim_scale(log_transfer.crypto_amount),
    log_transfer.crypto_symbol,
    round(fiat_minor),
    currency,
    log_transfer.external_account,
    coalesce(log_transfer.meta, '{}'),
    coalesce(
      log_transfer.label,
      case log_transfer.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
    ),
    thinker
  )
  returning * into transfer;

  return private.store_response(log_transfer.idempotency_key, request, private.transfer_json(transfer));
end;
$$;

comment on function public.log_transfer is
  'Logs a transfer intent of the acting thinker; a trusted server may log one without a thinker. fiat_major is in the '
  'currency''s major unit (euros) and is rounded to the minor unit, half away from zero; crypto_amount keeps all its '
  'decimals. Returns the transfer. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). The table''s trigger raises currency_unknown (400) for a currency that is not in '
  'private.currencies, in any case. '
  'Raises: amount_out_of_range, amounts_required, direction_unknown, idempotency_key_invalid, json_unreasonable, '
  'query_too_large, uid_invalid (400); not_signed_in, session_ended (401); request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.log_transfer to authenticated, service_role;
