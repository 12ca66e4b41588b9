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
  -- a voucher may have several holders, at once or one after the other: each sees what the issuer laid there, unless that
  -- was while somebody else had an appointment, and never what another holder did
  return query
    select l.id
    from public.contract_links l
    join public.vouchers v on v.id = l.voucher_id
    join public.contracts c on c.id = l.contract_id
    where l.voucher_id in (select private.held_vouchers())
      and c.created_by = v.issuer_id
      and not exists (
        select from public.voucher_bookings b
        where b.voucher_id = v.id
          and b.holder_id <> auth.uid()
          and b.created_at <= l.created_at
          and (b.cancelled_at is null or b.cancelled_at > l.created_at)
      );
  return query select l.id from public.contract_links l where l.room_id in (select private.my_rooms());
end;
$$;

comment on function private.my_contract_links is
  'The links of documents that the actor may see: those of its own documents, those to vouchers that it issued or holds and to '
  'its rooms. May repeat them.';

grant execute on function private.my_contract_links to authenticated;
