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
      -- other slots of it may be free: they are for whoever is signed in and knows its id
      when 'booked' then auth.uid() is not null
      else false
    end
$$;

comment on function private.is_open_to_caller is
  'True when the caller may look at the slots of a voucher and book one: a trusted server, its issuer, its holder, for whom it '
  'was issued; of an open offer everybody, of one that is booked whoever is signed in and knows its id.';
