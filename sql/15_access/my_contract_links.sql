create function private.my_contract_links()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
    select l.id
    from public.contracts c
    join public.contract_links l on l.contract_id = c.id
    where c.created_by = auth.uid();
  return query
    select l.id
    from public.vouchers v
    join public.contract_links l on l.voucher_id = v.id
    where v.issuer_id = auth.uid();
  -- a voucher may have several holders, at once or in turn. Each sees the documents that the issuer linked before the
  -- first booking or while this holder was the only one with a booking; never those of another holder
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
  'The ids of the document links that the actor may see: those of its own documents, of vouchers that it issued or '
  'holds, and of its rooms. May contain duplicates.';

grant execute on function private.my_contract_links to authenticated;
