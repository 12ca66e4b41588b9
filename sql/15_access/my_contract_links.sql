create function private.my_contract_links()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
    select l.id from public.contracts c join public.contract_links l on l.contract_id = c.id where c.created_by = auth.uid();
  return query
    select l.id from public.vouchers v join public.contract_links l on l.voucher_id = v.id where v.issuer_id = auth.uid();
  -- a voucher may have several holders, at once or one after the other: each sees what its issuer laid there before
  -- anybody had an appointment, or while nobody but this holder had one; never what another holder did
  return query
    select l.id
    from public.vouchers v
    join public.contract_links l on l.voucher_id = v.id
    join public.contracts c on c.id = l.contract_id
    cross join lateral (
      select
        min(b.created_at) as first_booked,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id = auth.uid()) as mine,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id <> auth.uid()) as others
      from public.voucher_bookings b
      where b.voucher_id = v.id
    ) appointments
    where v.id in (select private.held_vouchers())
      and c.created_by = v.issuer_id
      and (v.issued_to is null or v.issued_to = auth.uid())
      and (
        appointments.first_booked is null
        or appointments.first_booked > l.created_at
        or v.issued_to = auth.uid()
        or coalesce(appointments.mine @> l.created_at, false)
      )
      and not coalesce(appointments.others @> l.created_at, false);
  return query select l.id from public.contract_links l where l.room_id in (select private.my_rooms());
end;
$$;

comment on function private.my_contract_links is
  'The links of documents that the actor may see: those of its own documents, those to vouchers that it issued or holds and to '
  'its rooms. May repeat them.';

grant execute on function private.my_contract_links to authenticated;
