create function public.apply_for_mortgage(
  application_id  text    default null,
  property_id     text    default null,
  desired_loan    bigint  default null,
  currency        text    default null,
  duration_years  integer default null,
  rate_type       text    default null,
  max_interest    numeric default null,
  status          text    default null,
  visibility      text    default null,
  meta            jsonb   default null,
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
      'apply_for_mortgage', apply_for_mortgage.application_id, apply_for_mortgage.property_id,
      apply_for_mortgage.desired_loan, apply_for_mortgage.currency, apply_for_mortgage.duration_years,
      apply_for_mortgage.rate_type, apply_for_mortgage.max_interest::text, apply_for_mortgage.status,
      apply_for_mortgage.visibility, apply_for_mortgage.meta
    )
  );
  response    jsonb := private.replay_response(apply_for_mortgage.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
begin
  if response is not null then
    return response;
  end if;

  if apply_for_mortgage.desired_loan not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if apply_for_mortgage.duration_years not between 1 and 100 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if lower(apply_for_mortgage.rate_type collate "C") not in ('fixed', 'variable') then
    raise sqlstate 'PT400' using message = 'rate_type_unknown';
  end if;
  if lower(apply_for_mortgage.status collate "C") not in ('open', 'offered', 'accepted', 'rejected') then
    raise sqlstate 'PT400' using message = 'application_status_unknown';
  end if;
  perform private.check_interest(apply_for_mortgage.max_interest);

  perform private.use_today(applications => 1, bytes => pg_column_size(request));

  insert into public.properties (id, created_by)
  select apply_for_mortgage.property_id, borrower
  where apply_for_mortgage.property_id is not null
  on conflict (id) do nothing;

  insert into public.mortgage_applications (
    id, property_id, borrower_id, desired_loan, currency, duration_years, rate_type, max_interest, status, visibility,
    meta
  )
  values (
    coalesce(apply_for_mortgage.application_id, private.new_id('app')),
    apply_for_mortgage.property_id,
    borrower,
    apply_for_mortgage.desired_loan,
    case
      when apply_for_mortgage.desired_loan is not null
        then upper(coalesce(apply_for_mortgage.currency, 'EUR') collate "C")
    end,
    apply_for_mortgage.duration_years,
    lower(apply_for_mortgage.rate_type collate "C"),
    trim_scale(apply_for_mortgage.max_interest),
    lower(coalesce(apply_for_mortgage.status, 'open') collate "C"),
    coalesce(apply_for_mortgage.visibility, 'private'),
    coalesce(apply_for_mortgage.meta, '{}')
  )
  on conflict (id) do nothing
  returning * into application;
  if not found then
    raise sqlstate 'PT409' using message = 'application_exists';
  end if;

  return private.store_response(apply_for_mortgage.idempotency_key, request, private.application_json(application));
end;
$$;

comment on function public.apply_for_mortgage is
  'Submits the acting thinker''s application for a mortgage; an unknown property is created. desired_loan is in the '
  'currency''s minor unit (cents), max_interest a fraction a year. Returns the application. A repeated call with the '
  'same idempotency_key returns the stored response (private.replay_response). The table''s trigger raises '
  'currency_unknown (400) for a currency that is not in private.currencies, in any case. '
  'Raises: amount_out_of_range, application_status_unknown, duration_out_of_range, idempotency_key_invalid, '
  'interest_out_of_range, json_unreasonable, query_too_large, rate_type_unknown, uid_invalid (400); not_signed_in, '
  'session_ended (401); application_exists, request_in_progress (409); idempotency_key_reused (422); '
  'daily_limit_reached (429).';

grant execute on function public.apply_for_mortgage to authenticated;
