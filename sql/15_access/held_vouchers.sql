create function private.held_vouchers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select v.id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.id from public.vouchers v where v.issued_to = auth.uid();
  return query select b.voucher_id from public.voucher_bookings b where b.holder_id = auth.uid() and b.status = 'booked';
end;
$$;

comment on function private.held_vouchers is
  'The vouchers of which the actor is a holder: those issued to it, and those of which it has an appointment. May repeat them.';

grant execute on function private.held_vouchers to authenticated;
