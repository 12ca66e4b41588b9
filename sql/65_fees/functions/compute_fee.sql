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
  return query
  with parts (currency, base, rate, fixed, is_whole) as (
    -- everything in one currency; also if base is 0, whose currency does not matter
    select
      coalesce(fee.currency, compute_fee.base_currency), compute_fee.base, trim_scale(fee.percentage), fee.fixed_amount,
      true
    where compute_fee.base = 0 or fee.currency is null or fee.currency = compute_fee.base_currency
    union all
    -- otherwise each part in its own currency, without bounds, because there is no exchange rate
    select part.*
    from (
      values
        (compute_fee.base_currency, compute_fee.base, trim_scale(fee.percentage), 0, false),
        (fee.currency, 0, 0, fee.fixed_amount, false)
    ) part
    where compute_fee.base <> 0 and fee.currency <> compute_fee.base_currency
  ),
  sums as (select p.*, p.base * p.rate + p.fixed as sum from parts p),
  bounded as (
    select s.*,
      case
        when s.is_whole and s.sum < fee.min_cents then 'minimum'
        when s.is_whole and s.sum > fee.max_cents then 'maximum'
      end as bound
    from sums s
  )
  select
    case b.bound when 'minimum' then fee.min_cents when 'maximum' then fee.max_cents else round(b.sum)::bigint end,
    b.currency, b.base, b.rate, b.fixed, b.sum, b.bound
  from bounded b
  -- no row for a charge of zero
  where b.sum > 0 or b.bound is not null;
end;
$$;

comment on function private.compute_fee is
  'Computes what a fee charges for a subject worth base (not negative) in the minor unit of base_currency: percentage '
  'plus fixed part, rounded once, half away from zero, within the fee''s bounds. If base_currency differs from the '
  'fee''s currency, the percentage and the fixed part are two charges, each in its own currency, without bounds. '
  'Returns no row for a charge of zero.';
