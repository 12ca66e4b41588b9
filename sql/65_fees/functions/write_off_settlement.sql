create function public.write_off_settlement(settlement_id uuid, reason text)
returns jsonb
language plpgsql
volatile
set search_path = ''
set statement_timeout = '10s'
as $$
begin
  perform private.require_admin();
  if btrim(coalesce(write_off_settlement.reason, '')) = '' then
    raise sqlstate 'PT400' using message = 'reason_required';
  end if;
  return private.move_settlement(write_off_settlement.settlement_id, 'written_off', write_off_settlement.reason);
end;
$$;

comment on function public.write_off_settlement is
  'Gives up what is not paid of an invoiced settlement; payments stay. Returns the settlement. The trigger raises '
  'settlement_move_refused (409), with the current status as detail, for any other settlement, and nothing_to_pay '
  '(409) for a negative total. '
  'Raises: reason_required (400); not_an_admin (403); settlement_not_found (404).';

grant execute on function public.write_off_settlement to authenticated, service_role;
