create view private.import_mortgage_applications
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  nullif(s.content ->> 'property_id', '') as property_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'borrower_uid') as borrower_id,
  private.import_cents(s.content ->> 'desired_loan') as desired_loan,
  case
    when s.content ->> 'desired_loan' is not null or s.content ->> 'currency' <> ''
      then private.import_currency(s.content ->> 'currency')
  end as currency,
  -- 0 was written for a missing one
  nullif((s.content ->> 'duration_years')::integer, 0) as duration_years,
  private.import_word(nullif(s.content ->> 'rate_type', '')) as rate_type,
  trim_scale((s.content ->> 'max_interest')::numeric) as max_interest,
  private.import_word(s.content ->> 'status') as status,
  coalesce(nullif(s.content ->> 'visibility', ''), 'private') as visibility,
  coalesce(private.import_json(s.content ->> 'meta'), '{}') as meta,
  private.import_time(s.content ->> 'created_at') as submission_ts,
  private.import_time(s.content ->> 'created_at') as created_at,
  (s.content ->> 'desired_loan')::numeric as exact_amount,
  private.import_currency(s.content ->> 'currency') as exact_currency
from private.import_staging s;

comment on view private.import_mortgage_applications is
  'The rows of a batch of the legacy table mortgage_applications, as they are written.';
