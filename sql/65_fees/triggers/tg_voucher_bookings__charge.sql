create function private.tg_voucher_bookings__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge(
    'voucher', 'voucher_booking', new.id, new.price_amount, new.price_currency, new.issuer_id,
    jsonb_build_object('holder', new.holder_id)
  );
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__charge is
  'Charges the fees of a booking on its price, in the transaction of the booking. An issuer that books its '
  'own voucher blocks time and sells nothing: it pays no fee.';

create trigger tg_voucher_bookings__charge
  after insert on public.voucher_bookings
  for each row
  when (new.status = 'booked' and new.holder_id <> new.issuer_id and not private.is_import())
  execute function private.tg_voucher_bookings__charge();
