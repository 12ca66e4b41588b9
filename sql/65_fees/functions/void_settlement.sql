create function public.void_settlement(settlement_id uuid, reason text default null)
returns jsonb
language sql
volatile
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
  select private.move_settlement(void_settlement.settlement_id, 'voided', void_settlement.reason)
$$;

comment on function public.void_settlement is
  'Voids an open or invoiced settlement: its row and its lines are kept, and its fee events are due again. Returns '
  'the settlement. The trigger raises settlement_move_refused (409), with the current status as detail, for any other '
  'settlement, and settlement_has_payments (409) if a part is paid. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function public.void_settlement to authenticated, service_role;
