create view private.unsettled_fee_events
with (security_invoker = true)
as
select
  e.id, e.beneficiary_id, e.payer_id, e.currency, e.amount_cents, e.reverses, e.adjusts,
  coalesce(case when o.settlement_id is null then o.created_at end, e.created_at) as counts_at, c.closed_until
from public.fee_events e
-- by its key alone: after a settlement the statistics expect no event without one, and each would be compared with each
left join public.fee_events o on o.id = coalesce(e.reverses, e.adjusts)
left join (
  select
    s.beneficiary_id, s.currency,
    -- a period that was not over when it was invoiced is closed until that day
    max(least(s.period_to, (s.invoiced_at at time zone z.time_zone)::date)) as closed_until
  from public.settlements s
  cross join private.settings z
  where s.invoiced_at is not null and s.status <> 'voided'
  group by s.beneficiary_id, s.currency
) c on (c.beneficiary_id, c.currency) = (e.beneficiary_id, e.currency)
where e.settlement_id is null;

comment on view private.unsettled_fee_events is
  'The fee events in no settlement. counts_at: when it was written; what corrects a charge that is in no settlement '
  'either counts with it, so that nobody owes what was given back before it was settled. closed_until: the day '
  'before which everything is invoiced for the beneficiary in the currency, or null. An earlier fee event counts in '
  'the first settlement of a later period.';
