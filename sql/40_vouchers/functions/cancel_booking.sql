create function public.cancel_booking(
  booking_id      text default null,
  voucher_id      text default null,
  reason          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array(
    'cancel_booking', cancel_booking.booking_id, cancel_booking.voucher_id, cancel_booking.reason
  );
  response jsonb := private.replay_response(cancel_booking.idempotency_key, request);
  voucher  public.vouchers;
  booking  public.voucher_bookings;
  holder   uuid;
begin
  if response is not null then
    return response;
  end if;

  if cancel_booking.booking_id is null and cancel_booking.voucher_id is null then
    raise sqlstate 'PT400' using message = 'booking_or_voucher_required';
  end if;

  -- only a party locks the voucher
  if not private.is_service() and not exists (
    -- each by its key: the plan for a caller who is in many bookings would be that of everybody
    select from public.voucher_bookings b
    where b.id = cancel_booking.booking_id and auth.uid() in (b.holder_id, b.issuer_id)
    union all
    select from public.voucher_bookings b
    where cancel_booking.booking_id is null and b.voucher_id = cancel_booking.voucher_id
      and auth.uid() in (b.holder_id, b.issuer_id)
  ) then
    if exists (select from public.voucher_bookings b where b.id = cancel_booking.booking_id) then
      raise sqlstate 'PT403' using message = 'not_a_party';
    end if;
    raise sqlstate 'PT404' using message = 'booking_not_found';
  end if;

  if cancel_booking.reason is not null then
    perform private.use_today(bytes => octet_length(cancel_booking.reason));
  end if;

  -- lock the voucher first, as book_voucher does: after waiting, this statement sees the other transaction's changes
  select * into voucher
  from public.vouchers v
  where v.id = case
    when cancel_booking.booking_id is null then cancel_booking.voucher_id
    else (select b.voucher_id from public.voucher_bookings b where b.id = cancel_booking.booking_id)
  end
  for no key update;

  select * into booking
  from public.voucher_bookings b
  where b.voucher_id = voucher.id
    and case
      when cancel_booking.booking_id is not null then b.id = cancel_booking.booking_id
      -- if the voucher has several bookings, one that the caller may cancel
      else b.status = 'booked' and (private.is_service() or auth.uid() in (b.holder_id, b.issuer_id))
    end
  order by b.created_at, b.id
  limit 1;

  if not found then
    raise sqlstate 'PT404' using message = 'booking_not_found';
  end if;

  if booking.status = 'booked' then
    update public.voucher_bookings b
    set status = 'cancelled', cancel_reason = cancel_booking.reason, cancelled_at = clock_timestamp()
    where b.id = booking.id
    returning * into booking;

    select b.holder_id into holder
    from public.voucher_bookings b
    where b.voucher_id = voucher.id and b.status = 'booked'
    order by b.created_at desc, b.id desc
    limit 1;

    update public.vouchers v
    set status = case when holder is null then 'issued' else 'booked' end, holder_id = holder
    where v.id = voucher.id and v.status = 'booked';
    select * into voucher from public.vouchers v where v.id = voucher.id;
  end if;

  return private.store_response(
    cancel_booking.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
end;
$$;

comment on function public.cancel_booking is
  'Cancels a booking, given by its id or as the caller''s oldest active booking of a voucher. Allowed for its holder, '
  'its issuer and trusted servers. The voucher is offered again unless it has another active booking. A cancelled '
  'booking stays as it is. From the start of its slot on, its charges stay (fees.reversed_after_start). '
  'Returns {booking, voucher}. A repeated call with the same idempotency_key returns the '
  'stored response (private.replay_response). '
  'Raises: booking_or_voucher_required, idempotency_key_invalid, query_too_large (400); session_ended (401); '
  'not_a_party (403); booking_not_found (404); request_in_progress (409); idempotency_key_reused (422); '
  'daily_limit_reached (429).';

grant execute on function public.cancel_booking to authenticated, service_role;
