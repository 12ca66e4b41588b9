create view private.receivable_facts
as
with parts as (
  select
    e.beneficiary_id,
    e.currency,
    e.payer_id,
    s.id as settlement_id,
    coalesce(s.status, 'unsettled') as status,
    s.due_on,
    sum(e.amount_cents) as cents, min(e.created_at) as since
  from public.fee_events e
  left join public.settlements s on s.id = e.settlement_id
  where e.settlement_id is null or s.status in ('open', 'invoiced', 'written_off')
  group by e.beneficiary_id, e.currency, e.payer_id, s.id, s.status, s.due_on
),

payments as (
  select p.settlement_id, p.payer_id, sum(p.amount_cents) as cents
  from public.settlement_payments p
  group by p.settlement_id, p.payer_id
),

named as (
  select p.*, p.cents - coalesce(m.cents, 0) as remainder, coalesce(u.cents, 0) as unnamed
  from parts p
  left join payments m on m.settlement_id = p.settlement_id and m.payer_id = p.payer_id
  left join payments u on u.settlement_id = p.settlement_id and u.payer_id is null
),

ordered as (
  select n.*,
    coalesce(
      sum(greatest(n.remainder, 0)) over (
        partition by n.settlement_id order by n.since, n.payer_id rows between unbounded preceding and 1 preceding
      ),
      0
    ) as older
  from named n
)

select
  o.beneficiary_id, o.currency, o.payer_id, o.settlement_id, o.status,
  (o.since at time zone s.time_zone)::date as since,
  coalesce(o.status = 'invoiced' and o.due_on < (now() at time zone s.time_zone)::date, false) as is_overdue,
  -- a payment that names no payer pays the oldest debts first
  o.remainder
    - case
        when o.settlement_id is null then 0 else least(greatest(o.remainder, 0), greatest(o.unnamed - o.older, 0))
    end
    as cents
from ordered o
cross join private.settings s;

comment on view private.receivable_facts is
  'What each payer owes to each beneficiary: the part of each open or invoiced settlement that is not paid, and the '
  'fee events in no settlement. The data of stats.receivables, which leaves out what was given up: the part of each '
  'written_off settlement that is not paid.';

grant select on private.receivable_facts to service_role, stats_reader;
