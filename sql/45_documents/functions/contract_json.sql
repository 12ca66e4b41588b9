create function private.contract_json(contract public.contracts)
returns jsonb
language sql
stable
return to_jsonb(contract) || jsonb_build_object('created_by_uid', private.uid_of(contract.created_by));

comment on function private.contract_json is
  'A document as the functions return it: its columns and the uid of its creator.';

grant execute on function private.contract_json to service_role, authenticated;
