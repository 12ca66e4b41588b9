create function private.slots_of(voucher public.vouchers, slots_from timestamptz, slots_to timestamptz)
returns setof timestamptz
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  -- slots start at valid_from and then every 60 minutes, whatever the duration
  return query
  select generate_series(
    voucher.valid_from
      + make_interval(hours => greatest(0, ceil(extract(epoch from slots_from - voucher.valid_from) / 3600))::int),
    least(voucher.valid_until - make_interval(mins => voucher.duration_minutes), slots_to),
    interval '1 hour'
  );
end;
$$;

comment on function private.slots_of is
  'The starts of a voucher''s slots between two times (both included), booked or not: every 60 minutes, as in the '
  'legacy API.';
