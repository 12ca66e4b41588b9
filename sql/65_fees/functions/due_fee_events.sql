create function private.due_fee_events(period_to date)
returns table (
    id uuid, beneficiary_id uuid, currency text, amount_cents bigint, reverses uuid, adjusts uuid, part numeric
)
language sql
stable
rows 100000
set search_path = ''
as $$
  select
    e.id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses, e.adjusts,
    div(
      sum(abs(e.amount_cents)) over (partition by e.beneficiary_id, e.currency order by e.id rows unbounded preceding),
      4000000000000000000
    )
  from (
    select u.*, sum(u.amount_cents) over (partition by u.beneficiary_id, u.currency) as total
    from private.unsettled_fee_events u
    cross join private.settings s
    where u.created_at < due_fee_events.period_to::timestamp at time zone s.time_zone
      and coalesce(u.closed_until < due_fee_events.period_to, true)
  ) e
  cross join private.settings s
  where e.total >= 0 or not s.carries_negative_totals
$$;

comment on function private.due_fee_events is
  'The fee events that are in no settlement and were written before the day period_to, in the time zone of '
  'private.settings. Without those of a beneficiary and currency for which a period up to that day is invoiced: they '
  'count in a later one. Without those whose sum is negative, as private.settings.carries_negative_totals says. part '
  'numbers the settlements of a beneficiary and currency: usually all 0, more only if the sum exceeds a bigint, so '
  'that one beneficiary''s extreme amounts cannot block all others.';
