-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.receivables
with (security_invoker = true, security_barrier = true)
as
select
  p.uid as payer_uid, b.uid as beneficiary_uid, r.currency, private.currency_exponent(r.currency) as decimals,
  r.unsettled_cents, r.open_cents, r.invoiced_cents, r.overdue_cents, r.owed_cents, r.since
from (
  select
    f.payer_id,
    f.beneficiary_id,
    f.currency,
    coalesce(sum(f.cents) filter (where f.status = 'unsettled'), 0) as unsettled_cents,
    coalesce(sum(f.cents) filter (where f.status = 'open'), 0) as open_cents,
    coalesce(sum(f.cents) filter (where f.status = 'invoiced'), 0) as invoiced_cents,
    coalesce(sum(f.cents) filter (where f.is_overdue), 0) as overdue_cents,
    sum(f.cents) as owed_cents,
    min(f.since) filter (where f.cents > 0) as since
  from private.receivable_facts f
  where f.status <> 'written_off'
  group by f.payer_id, f.beneficiary_id, f.currency
  having bool_or(f.cents <> 0)
) r
join private.thinker_facts b on b.id = r.beneficiary_id
left join private.thinker_facts p on p.id = r.payer_id;

comment on view stats.receivables is
  'Who owes what to which beneficiary since when, by currency, in its minor unit. Negative if more was given back than '
  'charged.';
comment on column stats.receivables.payer_uid is 'Null: the charges of transfers that nobody signed for.';
comment on column stats.receivables.unsettled_cents is 'Fee events in no settlement.';
comment on column stats.receivables.open_cents is 'In settlements that are not invoiced yet.';
comment on column stats.receivables.invoiced_cents is 'In settlements that are invoiced: what is not paid.';
comment on column stats.receivables.overdue_cents is 'The part of invoiced_cents whose due date is over.';
comment on column stats.receivables.owed_cents is 'The sum of unsettled_cents, open_cents and invoiced_cents.';
comment on column stats.receivables.since is 'The day of the oldest charge of which something is owed.';

grant select on stats.receivables to service_role, stats_reader;
