create function private.due_fee_events(period_end timestamptz)
returns table (id uuid, beneficiary_id uuid, currency text, amount_cents bigint, reverses uuid, part numeric)
language sql
stable
rows 100000
set search_path = ''
as $$
  select
    e.id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses,
    div(
      sum(abs(e.amount_cents)) over (partition by e.beneficiary_id, e.currency order by e.id rows unbounded preceding),
      4000000000000000000
    )
  from public.fee_events e
  where e.settlement_id is null and e.created_at < due_fee_events.period_end
$$;

comment on function private.due_fee_events is
  'The fee events that are in no settlement and were written before period_end. part numbers the settlements of a '
  'beneficiary and currency: usually all 0, more only if the sum exceeds a bigint, so that one beneficiary''s extreme '
  'amounts cannot block all others.';
