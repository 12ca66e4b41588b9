-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.fees_by_day
with (security_invoker = true, security_barrier = true)
as
select
  d.day, f.fee_id, b.uid as beneficiary_uid, f.currency, private.currency_exponent(f.currency) as decimals,
  f.fee_events, f.charged_cents, f.reversed_cents,
  f.accrued_cents,
  f.settled_cents,
  f.accrued_cents - f.settled_cents as open_cents,
  f.adjusted_cents
from stats.days d
cross join lateral (
  select
    f.fee_id,
    f.beneficiary_id,
    f.currency,
    count(*) as fee_events,
    coalesce(sum(f.amount_cents) filter (where not f.is_reversal and not f.is_adjustment), 0) as charged_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_reversal), 0) as reversed_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_adjustment), 0) as adjusted_cents,
    sum(f.amount_cents) as accrued_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_settled), 0) as settled_cents
  from private.fee_event_facts f
  where f.created_at >= d.starts_at and f.created_at < d.ends_at
  group by f.fee_id, f.beneficiary_id, f.currency
) f
join private.thinker_facts b on b.id = f.beneficiary_id;

comment on view stats.fees_by_day is
  'Fees charged, reversed and adjusted on each day, by fee, beneficiary and currency. Amounts are in the currency''s '
  'minor unit.';
comment on column stats.fees_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.fees_by_day.reversed_cents is 'The sum of the reversals: zero or negative.';
comment on column stats.fees_by_day.accrued_cents is 'The sum of charged_cents, reversed_cents and adjusted_cents.';
comment on column stats.fees_by_day.adjusted_cents is 'The sum of the adjustments by operators.';
comment on column stats.fees_by_day.settled_cents is
  'The part of accrued_cents that is in a settlement, whatever its status; open_cents is the rest.';

grant select on stats.fees_by_day to service_role, stats_reader;
