create function private.my_contracts(of_contract uuid default null)
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
declare
  vouchers text[];
begin
  if of_contract is null then
    return query select c.id from public.contracts c where c.created_by = auth.uid();
  else
    return query select c.id from public.contracts c where c.id = of_contract and c.created_by = auth.uid();
    if found then
      return;
    end if;
    vouchers := array(
      select l.voucher_id from public.contract_links l where l.contract_id = of_contract and l.voucher_id is not null
    );
  end if;
  return query
    select l.contract_id
    from public.contract_links l
    where l.id in (select private.my_contract_links(vouchers))
      and (of_contract is null or l.contract_id = of_contract);
  return query
    select c.contract_id
    from public.mortgage_contracts c
    where c.offer_id = any (array(select private.my_offers())) and c.contract_id is not null
      and (of_contract is null or c.contract_id = of_contract);
  if private.may_act_as('notary') then
    return query
      select c.contract_id
      from public.mortgage_contracts c
      where c.contract_id is not null and (of_contract is null or c.contract_id = of_contract);
  end if;
end;
$$;

comment on function private.my_contracts is
  'The ids of the documents that the actor may see: those it stored, those of its links and mortgages, and for a '
  'notary those of every mortgage; of_contract is the only one that matters. May contain duplicates.';

grant execute on function private.my_contracts to authenticated;
