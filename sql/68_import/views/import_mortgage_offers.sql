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
  -- the figures in the words, as offer_mortgage gets them: what the column cannot hold stays in the words only
  coalesce(trim_scale((s.content ->> 'interest_rate')::numeric), words.rate) as interest_rate,
  coalesce(private.import_cents(s.content ->> 'monthly_payment'), words.monthly::bigint) as monthly_payment,
  private.import_json(s.content ->> 'loan') as loan,
  private.import_json(s.content ->> 'interest') as interest,
  private.import_json(s.content ->> 'repayment') as repayment,
  private.import_json(s.content ->> 'fees') as fees,
  private.import_json(s.content ->> 'validity') as validity,
  private.import_json(s.content ->> 'terms_ref') as terms_ref,
  coalesce(
    private.import_json(s.content ->> 'room_refs'),
    jsonb_build_object('negotiationRoomId', 'mortgage:offer:' || (s.content ->> 'id'), 'contractRoomId', null)
  ) as room_refs,
  -- the API showed an open offer as offered
  case private.import_word(s.content ->> 'status')
    when 'offered' then 'open'
    else private.import_word(s.content ->> 'status')
  end as status,
  private.import_time(s.content ->> 'created_at') as created_at,
  coalesce((s.content ->> 'monthly_payment')::numeric, words.monthly) as exact_amount,
  coalesce(a.currency, '') as exact_currency
from private.import_staging s
cross join lateral (
  select
    case jsonb_typeof(w.rate) when 'number' then w.rate::numeric end as rate,
    case jsonb_typeof(w.monthly) when 'number' then w.monthly::numeric end as monthly
  from (
    select
      private.import_json(s.content ->> 'interest') -> 'rate' as rate,
      private.import_json(s.content ->> 'repayment') -> 'monthly' as monthly
  ) w
) named
cross join lateral (
  select
    case when named.rate between 0 and 99.9999 and min_scale(named.rate) <= 4 then trim_scale(named.rate) end as rate,
    case when named.monthly between 0 and 9007199254740991 and min_scale(named.monthly) = 0 then named.monthly end
      as monthly
) words
left join public.mortgage_applications a on a.id = s.content ->> 'application_id';

comment on view private.import_mortgage_offers is
  'The rows of a batch of the legacy table mortgage_offers, as they are written; those that a list showed have the '
  'words of the lender, too.';
