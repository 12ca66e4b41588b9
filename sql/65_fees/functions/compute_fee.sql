create function private.compute_fee(fee public.fees, base bigint, base_currency text)
returns table (
  amount_cents bigint,
  currency     text,
  base_cents   bigint,
  rate         numeric,
  fixed_cents  bigint,
  unrounded    numeric,
  bound        text
)
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
#variable_conflict use_column
begin
  if compute_fee.base = 0 or fee.currency is null or fee.currency = compute_fee.base_currency then
    -- everything in one currency; also if base is 0, whose currency does not matter
    currency := coalesce(fee.currency, compute_fee.base_currency);
    base_cents := compute_fee.base;
    rate := trim_scale(fee.percentage);
    fixed_cents := fee.fixed_amount;
    unrounded := base_cents * rate + fixed_cents;
    bound := case when unrounded < fee.min_cents then 'minimum' when unrounded > fee.max_cents then 'maximum' end;
    amount_cents := case bound
      when 'minimum' then fee.min_cents
      when 'maximum' then fee.max_cents
      else round(unrounded)::bigint
    end;
    -- no row for a charge of zero
    if unrounded > 0 or bound is not null then
      return next;
    end if;
    return;
  end if;

  -- each part in its own currency, without bounds, because there is no exchange rate
  return query
  select round(p.sum)::bigint, p.currency, p.base, p.rate, p.fixed, p.sum, null::text
  from (
    select part.*, part.base * part.rate + part.fixed as sum
    from (
      values
        (compute_fee.base_currency, compute_fee.base, trim_scale(fee.percentage), 0),
        (fee.currency, 0, 0, fee.fixed_amount)
    ) part (currency, base, rate, fixed)
    where fee.currency <> compute_fee.base_currency
  ) p
  where p.sum > 0;
end;
$$;

comment on function private.compute_fee is
  'Computes what a fee charges for a subject worth base (not negative) in the minor unit of base_currency: percentage '
  'plus fixed part, rounded once, half away from zero, within the fee''s bounds. If base_currency differs from the '
  'fee''s currency, the percentage and the fixed part are two charges, each in its own currency, without bounds. '
  'Returns no row for a charge of zero.';
