create function private.fee_remainder(charge public.fee_events)
returns numeric
language sql
stable
set search_path = ''
as $$
  select charge.amount_cents + coalesce(sum(e.amount_cents), 0)
  from public.fee_events e
  -- not `in (e.reverses, e.adjusts)`, which cannot use their indexes
  where e.reverses = charge.id or e.adjusts = charge.id
$$;

comment on function private.fee_remainder is
  'What adjustments and the reversal left of a charge, in the minor unit of its currency.';
