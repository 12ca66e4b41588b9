create function private.tg_voucher_bookings__copy_price()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  select v.price_amount, v.price_currency into new.price_amount, new.price_currency
  from public.vouchers v
  where v.id = new.voucher_id;
  return new;
end;
$$;

comment on function private.tg_voucher_bookings__copy_price is
  'Copies the voucher''s price to a new booking, because the price of the voucher can change after a cancellation.';

create trigger tg_voucher_bookings__copy_price
  before insert on public.voucher_bookings
  for each row
  execute function private.tg_voucher_bookings__copy_price();
