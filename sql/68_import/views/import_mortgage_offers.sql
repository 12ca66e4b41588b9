create view private.import_mortgage_offers
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'application_id' as application_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'lender_uid') as lender_id,
  trim_scale((s.content ->> 'interest_rate')::numeric) as interest_rate,
  private.import_cents(s.content ->> 'monthly_payment') as monthly_payment,
  jsonb_build_object('negotiationRoomId', 'mortgage:offer:' || (s.content ->> 'id'), 'contractRoomId', null)
    as room_refs,
  -- the API showed an open offer as offered
  case private.import_word(s.content ->> 'status')
    when 'offered' then 'open'
    else private.import_word(s.content ->> 'status')
  end as status,
  private.import_time(s.content ->> 'created_at') as created_at,
  (s.content ->> 'monthly_payment')::numeric as exact_amount,
  coalesce(a.currency, '') as exact_currency
from private.import_staging s
left join public.mortgage_applications a on a.id = s.content ->> 'application_id';

comment on view private.import_mortgage_offers is
  'The rows of a batch of the legacy table mortgage_offers, as they are written.';
