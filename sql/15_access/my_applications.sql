create function private.my_applications()
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
  return query select o.application_id from public.mortgage_offers o where o.lender_id = auth.uid();
  if private.may_act_as('notary') then
    return query
      select o.application_id
      from public.mortgage_contracts c
      join public.mortgage_offers o on o.id = c.offer_id;
  end if;
end;
$$;

comment on function private.my_applications is
  'The ids of the mortgage applications that the actor works on: those for which it made an offer as lender, and for a '
  'notary those with a contract. May contain duplicates.';

grant execute on function private.my_applications to authenticated;
