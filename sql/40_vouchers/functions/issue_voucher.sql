create function public.issue_voucher(
  voucher_id       text        default null,
  service_type     text        default null,
  title            text        default null,
  description      text        default null,
  duration_minutes integer     default null,
  valid_from       timestamptz default null,
  valid_until      timestamptz default null,
  allowed_slots    jsonb       default null,
  price_amount     bigint      default null,
  price_currency   text        default null,
  status           text        default null,
  holder_uid       text        default null,
  transferable     boolean     default null,
  terms            jsonb       default null,
  idempotency_key  text        default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := private.checked_request(
    jsonb_build_array(
      'issue_voucher', issue_voucher.voucher_id, issue_voucher.service_type, issue_voucher.title,
      issue_voucher.description, issue_voucher.duration_minutes, issue_voucher.valid_from,
      issue_voucher.valid_until, issue_voucher.allowed_slots, issue_voucher.price_amount,
      issue_voucher.price_currency, issue_voucher.status, issue_voucher.holder_uid, issue_voucher.transferable,
      issue_voucher.terms
    )
  );
  response jsonb := private.replay_response(issue_voucher.idempotency_key, request);
  holder   uuid := private.thinker_id(issue_voucher.holder_uid);
  is_known boolean := holder is null or exists (select from public.thinkers t where t.id = holder);
  issuer   uuid;
  voucher  public.vouchers;
begin
  if response is not null then
    return response;
  end if;

  if not is_known then
    -- before the holder's first heartbeat has to wait for this call
    perform private.use_today();
  end if;

  -- new thinkers are created in the order of their ids, to avoid deadlocks between concurrent calls
  if holder < auth.uid() then
    perform private.ensure_thinker(issue_voucher.holder_uid);
  end if;
  issuer := private.acting_thinker();
  perform private.ensure_thinker(issue_voucher.holder_uid);

  voucher := row(
    coalesce(issue_voucher.voucher_id, private.new_id('v')), -- id
    issuer, -- issuer_id
    holder, -- holder_id
    holder, -- issued_to
    coalesce(issue_voucher.service_type, 'generic.service'),
    coalesce(issue_voucher.title, 'Unbenannter Service'),
    coalesce(issue_voucher.description, ''),
    coalesce(issue_voucher.duration_minutes, 60),
    -- a valid_until of a client whose clock is behind is kept
    date_trunc('milliseconds', coalesce(issue_voucher.valid_from, least(issue_voucher.valid_until, now()))),
    date_trunc('milliseconds', coalesce(issue_voucher.valid_until, greatest(issue_voucher.valid_from, now()))),
    coalesce(issue_voucher.allowed_slots, '[]'),
    issue_voucher.price_amount,
    case
      when issue_voucher.price_amount is not null then upper(coalesce(issue_voucher.price_currency, 'EUR') collate "C")
    end,
    lower(coalesce(issue_voucher.status, 'issued') collate "C"), -- status
    coalesce(issue_voucher.transferable, false),
    coalesce(issue_voucher.terms, '{}'),
    now() -- created_at
  )::public.vouchers;

  if voucher.duration_minutes not between 1 and 525600 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if not private.in_calendar(voucher.valid_from, voucher.valid_until) then
    raise sqlstate 'PT400' using message = 'date_out_of_range';
  end if;
  if voucher.valid_until < voucher.valid_from then
    raise sqlstate 'PT400' using message = 'valid_until_before_valid_from';
  end if;
  if issue_voucher.price_amount is null and issue_voucher.price_currency is not null then
    raise sqlstate 'PT400' using message = 'price_invalid';
  end if;
  if voucher.price_amount not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if voucher.status not in ('issued', 'booked', 'consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT400' using message = 'voucher_status_unknown';
  end if;

  perform private.use_today(
    vouchers => 1,
    new_thinkers => case when not is_known and holder <> auth.uid() then 1 else 0 end,
    bytes => pg_column_size(request)
  );

  insert into public.vouchers values (voucher.*) on conflict (id) do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'voucher_exists';
  end if;

  return private.store_response(issue_voucher.idempotency_key, request, private.voucher_json(voucher));
end;
$$;

comment on function public.issue_voucher is
  'Issues a voucher of the acting thinker. Arguments that are null get the default of the legacy API: 60 minutes of '
  '"Unbenannter Service", valid from now until now; if only a past valid_until or a future valid_from is given, the '
  'other is the same time. price_amount is in the currency''s minor unit (cents), price_invalid a currency without '
  'one; times are stored with milliseconds. Returns the voucher. A repeated call with the same idempotency_key '
  'returns the stored response (private.replay_response). The table''s trigger raises currency_unknown (400) for a '
  'currency that is not in private.currencies, in any case. '
  'Raises: amount_out_of_range, date_out_of_range, duration_out_of_range, idempotency_key_invalid, '
  'json_unreasonable, price_invalid, query_too_large, uid_invalid, valid_until_before_valid_from, '
  'voucher_status_unknown (400); not_signed_in, session_ended (401); request_in_progress, voucher_exists (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.issue_voucher to authenticated;
