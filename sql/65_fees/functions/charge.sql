create function private.charge(
  scope        text,
  subject_type text,
  subject_id   text,
  base         bigint,
  currency     text,
  payer        uuid,
  parties      jsonb default '{}'
)
returns void
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
begin
  insert into public.fee_events (
    fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, base_cents, rate, fixed_cents,
    unrounded, bound
  )
  select
    f.id, charge.subject_type, charge.subject_id, c.amount_cents, c.currency, f.beneficiary_id,
    coalesce((charge.parties ->> f.payer)::uuid, charge.payer), c.base_cents, c.rate,
    c.fixed_cents, c.unrounded, c.bound
  from public.fees f
  cross join lateral private.compute_fee(f, coalesce(charge.base, 0), private.currency_code(charge.currency)) c
  where f.active and f.scope = charge.scope;
end;
$$;

comment on function private.charge is
  'Charges every active fee of a scope for a subject worth base in the currency''s minor unit (null counts as 0). The '
  'payer owes it, unless the fee names another of the parties, such as {"holder": id}. Called by triggers.';
