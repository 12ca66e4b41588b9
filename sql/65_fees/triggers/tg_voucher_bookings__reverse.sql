create function private.tg_voucher_bookings__reverse()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.reverse_charges(new);
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__reverse is
  'Reverses the charges of a booking when it is cancelled (private.reverse_charges).';

create trigger tg_voucher_bookings__reverse
  after update of status on public.voucher_bookings
  for each row
  when (old.status = 'booked' and new.status = 'cancelled')
  execute function private.tg_voucher_bookings__reverse();
