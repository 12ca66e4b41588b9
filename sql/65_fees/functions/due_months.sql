create function private.due_months()
returns setof date
language sql
stable
set search_path = ''
as $$
  select distinct m.month
  from (
    select
      u.month,
      sum(sum(u.amount_cents)) over (
        partition by u.beneficiary_id, u.currency, u.payer_id
        order by u.month
      ) as total
    from (
      select
        e.beneficiary_id, e.currency, e.payer_id, e.amount_cents,
        date_trunc('month', greatest((e.counts_at at time zone s.time_zone)::date, e.closed_until))::date as month
      from private.unsettled_fee_events e
      cross join private.settings s
      where e.id not in (select private.waiting_credits())
    ) u
    group by u.beneficiary_id, u.currency, u.payer_id, u.month
  ) m
  cross join private.settings s
  where m.month < date_trunc('month', now() at time zone s.time_zone)
    and (m.total >= 0 or not s.carries_negative_totals)
  order by m.month
$$;

comment on function private.due_months is
  'The first days of the past months for which a settlement can be made, oldest first: the last month, and earlier '
  'months that were missed, voided, or got a fee event after they were settled. What was written for a month that is '
  'invoiced counts in the first month after it; the negative sum of a payer waits '
  '(private.settings.carries_negative_totals). In the time zone of private.settings.';
