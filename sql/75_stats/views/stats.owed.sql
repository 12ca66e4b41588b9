-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.owed
with (security_invoker = true, security_barrier = true)
as
select
  b.uid as beneficiary_uid, o.currency, private.currency_exponent(o.currency) as decimals,
  o.unsettled_cents, o.open_cents, o.invoiced_cents, o.paid_cents,
  o.unsettled_cents + o.open_cents + o.invoiced_cents as owed_cents
from (
  select
    due.beneficiary_id,
    due.currency,
    coalesce(sum(due.cents) filter (where due.status = 'unsettled'), 0) as unsettled_cents,
    coalesce(sum(due.cents) filter (where due.status = 'open'), 0) as open_cents,
    coalesce(sum(due.cents) filter (where due.status = 'invoiced'), 0) as invoiced_cents,
    coalesce(sum(due.cents) filter (where due.status = 'paid'), 0) as paid_cents
  from (
    select f.beneficiary_id, f.currency, 'unsettled' as status, sum(f.amount_cents) as cents
    from private.fee_event_facts f
    where not f.is_settled
    group by f.beneficiary_id, f.currency
    union all
    select s.beneficiary_id, s.currency, s.status, sum(s.total_cents)
    from private.settlement_facts s
    where s.status <> 'voided'
    group by s.beneficiary_id, s.currency, s.status
  ) due
  group by due.beneficiary_id, due.currency
) o
join private.thinker_facts b on b.id = o.beneficiary_id;

comment on view stats.owed is
  'The amounts currently owed to each beneficiary, over all time, by currency. In the currency''s minor unit; negative '
  'if more was reversed than charged. Fee events of a voided settlement count as unsettled.';
comment on column stats.owed.unsettled_cents is 'Fee events in no settlement.';
comment on column stats.owed.open_cents is 'Settlements that are not invoiced yet.';
comment on column stats.owed.invoiced_cents is 'Settlements that are invoiced and not paid.';
comment on column stats.owed.owed_cents is 'The sum of unsettled_cents, open_cents and invoiced_cents.';

grant select on stats.owed to service_role, stats_reader;
