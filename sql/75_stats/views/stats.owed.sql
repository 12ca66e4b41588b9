-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.owed
with (security_invoker = true, security_barrier = true)
as
select
  b.uid as beneficiary_uid, o.currency, private.currency_exponent(o.currency) as decimals,
  o.unsettled_cents, o.open_cents, o.invoiced_cents, o.paid_cents,
  o.unsettled_cents + o.open_cents + o.invoiced_cents as owed_cents,
  o.written_off_cents, o.overdue_cents
from (
  select
    due.beneficiary_id,
    due.currency,
    coalesce(sum(due.cents) filter (where due.status = 'unsettled'), 0) as unsettled_cents,
    coalesce(sum(due.cents) filter (where due.status = 'open'), 0) as open_cents,
    coalesce(sum(due.cents) filter (where due.status = 'invoiced'), 0) as invoiced_cents,
    coalesce(sum(due.cents) filter (where due.status = 'paid'), 0) as paid_cents,
    coalesce(sum(due.cents) filter (where due.status = 'written_off'), 0) as written_off_cents,
    coalesce(sum(due.cents) filter (where due.is_overdue), 0) as overdue_cents
  from (
    select f.beneficiary_id, f.currency, 'unsettled' as status, false as is_overdue, sum(f.amount_cents) as cents
    from private.fee_event_facts f
    where not f.is_settled
    group by f.beneficiary_id, f.currency
    union all
    select s.beneficiary_id, s.currency, s.status, s.is_overdue, sum(s.total_cents - s.paid_cents)
    from private.settlement_facts s
    where s.status <> 'voided'
    group by s.beneficiary_id, s.currency, s.status, s.is_overdue
    union all
    select s.beneficiary_id, s.currency, 'paid', false, sum(s.paid_cents)
    from private.settlement_facts s
    group by s.beneficiary_id, s.currency
  ) due
  group by due.beneficiary_id, due.currency
) o
join private.thinker_facts b on b.id = o.beneficiary_id;

comment on view stats.owed is
  'The amounts currently owed to each beneficiary, over all time, by currency. In the currency''s minor unit; negative '
  'if more was reversed than charged. Fee events of a voided settlement count as unsettled.';
comment on column stats.owed.unsettled_cents is 'Fee events in no settlement.';
comment on column stats.owed.open_cents is 'Settlements that are not invoiced yet.';
comment on column stats.owed.invoiced_cents is 'Settlements that are invoiced: what is not paid.';
comment on column stats.owed.owed_cents is 'The sum of unsettled_cents, open_cents and invoiced_cents.';

comment on column stats.owed.paid_cents is 'All payments.';
comment on column stats.owed.written_off_cents is 'What was given up of settlements.';
comment on column stats.owed.overdue_cents is 'The part of invoiced_cents whose due date is over.';

grant select on stats.owed to service_role, stats_reader;
