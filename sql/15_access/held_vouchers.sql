create function private.held_vouchers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows
set enable_seqscan = off
set jit = off
as $$
begin
  return query select v.id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.id from public.vouchers v where v.issued_to = auth.uid();
  return query
    select b.voucher_id from public.voucher_bookings b where b.holder_id = auth.uid() and b.status = 'booked';
end;
$$;

comment on function private.held_vouchers is
  'The ids of the vouchers that the actor holds: those reserved for it, and those of which it has an active booking. '
  'May contain duplicates.';

grant execute on function private.held_vouchers to authenticated;
