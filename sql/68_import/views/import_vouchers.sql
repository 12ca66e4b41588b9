create view private.import_vouchers
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'issuer_uid') as issuer_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'holder_uid') as holder_id,
  -- a voucher that is not booked is reserved for its holder
  case when private.import_word(s.content ->> 'status') = 'issued' then (
    select t.id from public.thinkers t where t.public_id = s.content ->> 'holder_uid'
  ) end as issued_to,
  coalesce(s.content ->> 'service_type', 'generic.service') as service_type,
  coalesce(s.content ->> 'title', 'Unbenannter Service') as title,
  coalesce(s.content ->> 'description', '') as description,
  -- the legacy servers computed slots of an hour for 0
  coalesce(nullif((s.content ->> 'duration_minutes')::integer, 0), 60) as duration_minutes,
  private.import_time(s.content ->> 'valid_from') as valid_from,
  private.import_time(s.content ->> 'valid_until') as valid_until,
  coalesce(private.import_json(s.content ->> 'allowed_slots'), '[]') as allowed_slots,
  private.import_cents(s.content ->> 'price_amount') as price_amount,
  case
    when s.content ->> 'price_amount' is not null
      then private.import_currency(s.content ->> 'price_currency')
  end as price_currency,
  private.import_word(s.content ->> 'status') as status,
  (s.content ->> 'transferable')::boolean as transferable,
  coalesce(private.import_json(s.content ->> 'terms'), '{}') as terms,
  private.import_time(s.content ->> 'created_at') as created_at,
  (s.content ->> 'price_amount')::numeric as exact_amount,
  case
    when s.content ->> 'price_amount' is not null
      then private.import_currency(s.content ->> 'price_currency')
  end as exact_currency
from private.import_staging s;

comment on view private.import_vouchers is 'The rows of a batch of the legacy table vouchers, as they are written.';
