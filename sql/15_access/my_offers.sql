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
  -- with offset 0 the offers of an application are sought by its id, also where the first caller has most of them
  return query
    select o.id
    from public.mortgage_applications a
    cross join lateral (select o.id from public.mortgage_offers o where o.application_id = a.id offset 0) o
    where a.borrower_id = auth.uid();
end;
$$;

comment on function private.my_offers is
  'The ids of the mortgage offers to which the actor is a party: as lender, or as borrower of the application. May '
  'contain duplicates.';

grant execute on function private.my_offers to authenticated;
