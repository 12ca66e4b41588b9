create function private.fee_charges(fee public.fees, base bigint, base_currency text)
returns table (
  amount_cents bigint,
  currency     text,
  base_cents   bigint,
  rate         numeric,
  fixed_cents  bigint,
  unrounded    numeric,
  bound        text
)
language plpgsql -- which keeps the plan for the next one
immutable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  with parts (currency, base, rate, fixed, is_whole) as (
    -- everything in one currency; nothing is nothing in any currency
    select coalesce(fee.currency, fee_charges.base_currency), fee_charges.base, fee.percentage, fee.fixed_amount, true
    where fee_charges.base = 0 or fee.currency is null or fee.currency = fee_charges.base_currency
    union all
    -- else each part in its own, and no bound: there is no rate at which to compare
    select part.*
    from (
      values (fee_charges.base_currency, fee_charges.base, fee.percentage, 0, false), (fee.currency, 0, 0, fee.fixed_amount, false)
    ) part
    where fee_charges.base <> 0 and fee.currency <> fee_charges.base_currency
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
  -- what costs nothing leaves no trace
  where b.sum > 0 or b.bound is not null;
end;
$$;

comment on function private.fee_charges is
  'What a fee charges for something worth base in the currency''s minor unit (not negative): percentage plus fixed part, rounded '
  'once, half away from zero, and kept within the fee''s bounds. Where base is in another currency than the fee''s, the '
  'percentage is charged in the one and the fixed part in the other, without bounds. No row where nothing is charged.';
