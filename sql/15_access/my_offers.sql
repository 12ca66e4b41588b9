create function private.my_offers()
returns setof text
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
  return query select o.id from public.mortgage_offers o where o.lender_id = auth.uid();
  return query
    select o.id
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where a.borrower_id = auth.uid();
end;
$$;

comment on function private.my_offers is
  'The ids of the mortgage offers to which the actor is a party: as lender, or as borrower of the application. May '
  'contain duplicates.';

grant execute on function private.my_offers to authenticated;
