create function private.tg_voucher_bookings__order_times()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.cancelled_at := new.created_at;
  return new;
end;
$$;

comment on function private.tg_voucher_bookings__order_times is
  'Cancels a booking at the earliest at its creation. The clock of the cancellation may be behind the clock of the '
  'booking, for example after the server''s clock was corrected.';

create trigger tg_voucher_bookings__order_times
  before update of cancelled_at on public.voucher_bookings
  for each row
  when (new.cancelled_at < new.created_at)
  execute function private.tg_voucher_bookings__order_times();
