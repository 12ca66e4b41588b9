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
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  fee public.fees;
begin
  foreach fee in array case
    when charge.made_at is null then
      array(select f from public.fees f where f.active and f.scope = charge.scope)
    else
      array(select f from private.fees_at(charge.made_at) f where f.active and f.scope = charge.scope)
  end
  loop
    insert into public.fee_events (
      fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, base_cents, rate, fixed_cents,
      unrounded, bound, created_at
    )
    select
      fee.id, charge.subject_type, charge.subject_id, c.amount_cents, c.currency, fee.beneficiary_id,
      coalesce((charge.parties ->> fee.payer)::uuid, charge.payer), c.base_cents, c.rate, c.fixed_cents, c.unrounded,
      c.bound, coalesce(charge.made_at, now())
    from private.compute_fee(fee, coalesce(charge.base, 0), private.currency_code(charge.currency)) c;
  end loop;
end;
$$;

comment on function private.charge is
  'Charges every active fee of a scope for a subject worth base in the currency''s minor unit (null counts as 0). The '
  'payer owes it, unless the fee names another of the parties, such as {"holder": id}. With made_at by the fees of '
  'that time, as of it (private.import_charges). Called by triggers.';
