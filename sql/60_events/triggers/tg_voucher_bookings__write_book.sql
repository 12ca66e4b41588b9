create function private.tg_voucher_bookings__write_book()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.book', new.holder_id, 'voucher_booking', new.id,
    jsonb_build_object('voucherId', new.voucher_id, 'slotStart', private.iso(new.slot_start))
  );
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_book is 'Writes the event voucher.book.';

create trigger tg_voucher_bookings__write_book
  after insert on public.voucher_bookings
  for each row
  when (not private.is_import())
  execute function private.tg_voucher_bookings__write_book();
