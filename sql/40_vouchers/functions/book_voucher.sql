create function public.book_voucher(voucher_id text, slot_start timestamptz, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  request  jsonb := jsonb_build_array(
    'book_voucher', book_voucher.voucher_id, book_voucher.slot_start
  );
  response jsonb := private.replay_response(book_voucher.idempotency_key, request);
  holder   uuid := private.acting_thinker();
  voucher  public.vouchers;
  booking  public.voucher_bookings;
  offered  boolean := false;
  most     integer;
begin
  if response is not null then
    return response;
  end if;

  -- locks a row of the holder, so that its bookings are counted one after the other
  perform private.use_today(bookings => 1);

  -- only who may book locks the voucher
  if not exists (
    select from public.vouchers v where v.id = book_voucher.voucher_id and private.is_open_to_caller(v)
  ) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;

  select * into voucher
  from public.vouchers v
  where v.id = book_voucher.voucher_id
  for no key update;

  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if voucher.status in ('consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT409' using message = 'voucher_not_bookable', detail = voucher.status;
  end if;
  if book_voucher.slot_start between voucher.valid_from and voucher.valid_until then
    -- clock_timestamp(), because the slot may have started while this call waited for the voucher
    offered := (
      book_voucher.slot_start > clock_timestamp()
      or private.is_service() and (select s.past_bookings from private.settings s)
    ) and exists (select from private.slots_of(voucher, book_voucher.slot_start, book_voucher.slot_start));
  end if;
  if not offered then
    raise sqlstate 'PT409' using message = 'slot_not_offered';
  end if;

  select s.bookings_held into most
  from private.settings s
  where (
    select count(*)
    from public.voucher_bookings b
    where b.holder_id = any ((select private.same_session(holder))::uuid[])
      and b.status = 'booked'
      and b.slot_end > now()
  ) >= s.bookings_held;
  if found then
    raise sqlstate 'PT409' using message = 'too_many_bookings', detail = most;
  end if;

  insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
  values (
    voucher.id, voucher.issuer_id, holder, book_voucher.slot_start,
    book_voucher.slot_start + make_interval(mins => voucher.duration_minutes)
  )
  returning * into booking;

  update public.vouchers v
  set status = 'booked', holder_id = holder
  where v.id = voucher.id
  returning * into voucher;

  return private.store_response(
    book_voucher.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
exception
  when exclusion_violation then
    raise sqlstate 'PT409' using message = 'slot_taken';
end;
$$;

comment on function public.book_voucher is
  'Books a slot of a voucher for the acting thinker. Returns {booking, voucher}. A voucher that is not open to the '
  'caller is not found; slot_start null is a slot that is not offered, and so is one from its start on, except for a '
  'trusted server where private.settings.past_bookings is on. If the issuer has one appointment at a time '
  '(thinkers.no_overlap_across_vouchers), a slot is also taken by a booking of another of its vouchers. '
  'voucher_not_bookable has the voucher''s status as detail. A repeated call with the same idempotency_key returns '
  'the stored response (private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'voucher_not_found (404); request_in_progress, slot_not_offered, slot_taken, too_many_bookings, '
  'voucher_not_bookable (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.book_voucher to authenticated, service_role;
