create function public.available_slots(
  voucher_id text,
  slots_from timestamptz default null,
  slots_to   timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  voucher     public.vouchers;
  first_start timestamptz;
  last_start  timestamptz;
  span        tstzrange;
  taken       tstzmultirange;
  exclusive   boolean;
  slots       jsonb;
begin
  perform private.is_valid_request();
  select * into voucher from public.vouchers v where v.id = available_slots.voucher_id;
  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;

  select t.no_overlap_across_vouchers into exclusive from public.thinkers t where t.id = voucher.issuer_id;
  -- from its start on a slot is not offered
  first_start := least(
    greatest(voucher.valid_from, available_slots.slots_from, now() + interval '1 microsecond'), voucher.valid_until
  );
  -- at most a year, which is 8,784 slots, and 4 MiB: a client may choose an id that is printed as 1.5 KB
  last_start := least(
    available_slots.slots_to,
    first_start + interval '1 year' - interval '1 millisecond',
    first_start + make_interval(hours => 4194304 / (150 + octet_length(to_json(voucher.id)::text)))
  );
  span := tstzrange(first_start, greatest(first_start, last_start + make_interval(mins => voucher.duration_minutes)));

  -- once: compared with each slot of a year, thousands of bookings take seconds
  select range_agg(tstzrange(b.slot_start, b.slot_end)) into taken
  from public.voucher_bookings b
  where b.voucher_id = voucher.id
    and b.status = 'booked'
    and tstzrange(b.slot_start, b.slot_end) && span;
  if exclusive then
    select coalesce(range_agg(tstzrange(b.slot_start, b.slot_end)), '{}') + coalesce(taken, '{}') into taken
    from public.voucher_bookings b
    where b.issuer_id = voucher.issuer_id
      and b.status = 'booked'
      and b.no_overlap_across_vouchers
      and tstzrange(b.slot_start, b.slot_end) && span;
  end if;

  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'voucher_id', voucher.id,
        'slot_start', slot,
        'slot_end', slot + make_interval(mins => voucher.duration_minutes)
      )
      order by slot
    ),
    '[]'
  )
  into slots
  from private.slots_of(voucher, first_start, last_start) as slot
  where not coalesce(taken && tstzrange(slot, slot + make_interval(mins => voucher.duration_minutes)), false);

  return slots;
end;
$$;

comment on function public.available_slots is
  'The free slots of a voucher, earliest first: [{voucher_id, slot_start, slot_end}], without those that overlap an '
  'active booking of the voucher, or of any voucher of an issuer with one appointment at a time. Lists slots that '
  'start between slots_from and slots_to (both included), at most one year, and at most 4 MiB; by default the first '
  'that are left. From its start on a slot is not offered. A voucher that is not open to the caller is not found. '
  'Raises: query_too_large (400); session_ended (401); voucher_not_found (404).';

grant execute on function public.available_slots to anon, authenticated, service_role;
