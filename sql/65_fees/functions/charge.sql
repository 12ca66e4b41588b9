create function private.charge(
  scope        text,
  subject_type text,
  subject_id   text,
  base         bigint,
  currency     text,
  payer        uuid,
  parties      jsonb       default '{}',
  made_at      timestamptz default null
)
returns void
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
begin
  insert into public.fee_events (
    fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, base_cents, rate, fixed_cents,
    unrounded, bound, created_at
  )
  select
    (f.fee).id, charge.subject_type, charge.subject_id, c.amount_cents, c.currency, (f.fee).beneficiary_id,
    coalesce((charge.parties ->> (f.fee).payer)::uuid, charge.payer), c.base_cents, c.rate,
    c.fixed_cents, c.unrounded, c.bound, coalesce(charge.made_at, now())
  from (
    select current as fee from public.fees current where charge.made_at is null
    union all
    select past from private.fees_at(charge.made_at) past where charge.made_at is not null
  ) f
  cross join lateral private.compute_fee(f.fee, coalesce(charge.base, 0), private.currency_code(charge.currency)) c
  where (f.fee).active and (f.fee).scope = charge.scope;
end;
$$;

comment on function private.charge is
  'Charges every active fee of a scope for a subject worth base in the currency''s minor unit (null counts as 0). The '
  'payer owes it, unless the fee names another of the parties, such as {"holder": id}. With made_at by the fees of '
  'that time, as of it (private.import_charges). Called by triggers.';
