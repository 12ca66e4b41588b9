create function public.get_contract(contract_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  contract public.contracts;
begin
  perform private.is_valid_request();
  select * into contract
  from public.contracts c
  where c.id = get_contract.contract_id
    and (
      private.may_act_as('admin')
      or private.is_operator()
      or c.id in (select private.my_contracts(get_contract.contract_id))
    );
  if not found then
    raise sqlstate 'PT404' using message = 'contract_not_found';
  end if;
  return private.contract_json(contract);
end;
$$;

comment on function public.get_contract is
  'One document that the caller may see. '
  'Raises: query_too_large (400); session_ended (401); contract_not_found (404).';

grant execute on function public.get_contract to service_role, authenticated;
