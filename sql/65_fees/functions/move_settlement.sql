create function private.move_settlement(settlement_id uuid, status text, reason text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  settlement public.settlements;
begin
  perform private.require_admin();

  -- the trigger tg_settlements__move enforces the valid transitions
  update public.settlements s
  set
    status = move_settlement.status,
    void_reason = case move_settlement.status when 'voided' then move_settlement.reason end,
    write_off_reason = case move_settlement.status when 'written_off' then move_settlement.reason end
  where s.id = move_settlement.settlement_id
  returning * into settlement;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;

  return private.settlement_json(settlement);
end;
$$;

comment on function private.move_settlement is
  'Changes the status of a settlement; a trigger checks the transition. Returns the settlement. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function private.move_settlement to authenticated, service_role;
