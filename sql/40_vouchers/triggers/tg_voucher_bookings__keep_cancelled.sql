create function private.tg_voucher_bookings__keep_cancelled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT409' using message = 'booking_is_cancelled', detail = new.id;
end;
$$;

comment on function private.tg_voucher_bookings__keep_cancelled is
  'Refuses to reactivate a cancelled booking, by its owner too; the slot has to be booked again. '
  'Raises: booking_is_cancelled (409).';

create trigger tg_voucher_bookings__keep_cancelled
  before update on public.voucher_bookings
  for each row
  when (old.status = 'cancelled' and new.status <> 'cancelled')
  execute function private.tg_voucher_bookings__keep_cancelled();
