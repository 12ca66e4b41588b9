create function public.book_voucher(voucher_id text, slot_start timestamptz, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('book_voucher', book_voucher.voucher_id, book_voucher.slot_start at time zone 'UTC');
  answer  jsonb := private.first_answer(book_voucher.idempotency_key, request);
  holder  uuid := private.acting_thinker();
  voucher public.vouchers;
  booking public.voucher_bookings;
  offered boolean := false;
begin
  if answer is not null then
    return answer;
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
    offered := exists (select from private.slots_of(voucher, book_voucher.slot_start, book_voucher.slot_start));
  end if;
  if not offered then
    raise sqlstate 'PT409' using message = 'slot_not_offered';
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

  return private.keep_answer(
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
  'Books a slot of a voucher for the acting thinker. No start (null) is a slot that is not offered. '
  'Returns {booking, voucher}. Refuses: not_signed_in (401); voucher_not_found (404), also for one that is not open to the '
  'caller; voucher_not_bookable (with the status as detail), slot_not_offered, slot_taken (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.book_voucher to authenticated, service_role;
