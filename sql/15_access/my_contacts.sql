create function private.my_contacts()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- thinkers who acted towards the actor; naming a thinker (such as a voucher's holder) does not reveal it
  return query select v.issuer_id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.issuer_id from public.vouchers v where v.issued_to = auth.uid();
  return query select b.issuer_id from public.voucher_bookings b where b.holder_id = auth.uid();
  return query select b.holder_id from public.voucher_bookings b where b.issuer_id = auth.uid();
  return query select s.thinker_id from public.presence_sessions s where s.room_id = private.my_room();
  return query
    select party.id
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id)
    where o.id in (select private.my_offers());
  if private.may_act_as('lender') then
    return query select a.borrower_id from public.mortgage_applications a where a.status in ('open', 'offered');
  end if;
  if private.may_act_as('notary') then
    return query
      select party.id
      from public.mortgage_contracts c
      join public.mortgage_offers o on o.id = c.offer_id
      join public.mortgage_applications a on a.id = o.application_id
      cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id);
  end if;
end;
$$;

comment on function private.my_contacts is
  'The ids of the thinkers that the actor may see because of a shared voucher, room or mortgage; for lenders and '
  'notaries also the thinkers of the mortgages that they work on. May contain duplicates.';

grant execute on function private.my_contacts to authenticated;
