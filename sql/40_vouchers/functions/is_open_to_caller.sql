create function private.is_open_to_caller(voucher public.vouchers)
returns boolean
language sql
stable
set search_path = ''
as $$
  select private.is_service()
    or coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id, voucher.issued_to), false)
    or voucher.issued_to is null and voucher.valid_until > now() and case voucher.status
      when 'issued' then voucher.holder_id is null
      -- every thinker who knows the id may book its free slots; the bookings of an imported voucher may still come
      when 'booked' then auth.uid() is not null and exists (
        select from public.voucher_bookings b where b.voucher_id = voucher.id
      )
      else false
    end
$$;

comment on function private.is_open_to_caller is
  'True if the caller may list the slots of a voucher and book one: a trusted server, its issuer, its holder, and the '
  'thinker that it is reserved for; everybody for an open offer; every thinker for a booked voucher that is not '
  'reserved.';
