create function private.tg_vouchers__keep_price()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from public.voucher_bookings b where b.voucher_id = new.id and b.status = 'booked') then
    raise sqlstate 'PT409' using message = 'voucher_is_booked';
  end if;
  return new;
end;
$$;

comment on function private.tg_vouchers__keep_price is
  'Refuses to change the price of a booked voucher, because it has been charged. '
  'Raises: voucher_is_booked (409).';

create trigger tg_vouchers__keep_price
  before update of price_amount, price_currency on public.vouchers
  for each row
  when ((old.price_amount, old.price_currency) is distinct from (new.price_amount, new.price_currency))
  execute function private.tg_vouchers__keep_price();
