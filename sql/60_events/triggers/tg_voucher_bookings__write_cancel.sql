create function private.tg_voucher_bookings__write_cancel()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'cancelled' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'voucher.cancel', coalesce(private.known_actor(), new.holder_id), 'voucher_booking', new.id,
      jsonb_build_object('voucherId', new.voucher_id, 'reason', left(new.cancel_reason, 1000))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_cancel is
  'Writes the event voucher.cancel. Its actor is the acting thinker, otherwise the holder (if a trusted server acts '
  'without a thinker).';

create trigger tg_voucher_bookings__write_cancel
  after insert or update of status on public.voucher_bookings
  for each row
  when (new.status = 'cancelled' and not private.is_import())
  execute function private.tg_voucher_bookings__write_cancel();
