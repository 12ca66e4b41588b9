create function private.fees_at(moment timestamptz)
returns setof public.fees
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
as $$
begin
  return query
  select
    f.id, v.scope, v.percentage, v.fixed_amount, v.min_cents, v.max_cents, v.currency, v.active, v.beneficiary_id,
    f.meta, v.reversed_after_start, v.payer
  from public.fees f
  cross join lateral (
    select v.*
    from public.fee_versions v
    where v.fee_id = f.id
    order by v.valid_from > fees_at.moment,
      case when v.valid_from <= fees_at.moment then v.valid_from end desc, v.valid_from, v.id
    limit 1
  ) v;
end;
$$;

comment on function private.fees_at is
  'The fees as they were at that time; as they were first, for a time before they existed.';
