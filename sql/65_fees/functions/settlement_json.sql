create function private.settlement_json(settlement public.settlements)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(settlement) || jsonb_build_object('beneficiary_uid', private.uid_of(settlement.beneficiary_id))
$$;

comment on function private.settlement_json is
  'A settlement as the functions return it: its columns and the beneficiary''s uid.';

grant execute on function private.settlement_json to service_role, authenticated;
