create function public.invoice_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
  select private.move_settlement(invoice_settlement.settlement_id, 'invoiced')
$$;

comment on function public.invoice_settlement is
  'Marks an open settlement as invoiced: it gets a number and a due date, and its month is closed. No money is moved. '
  'Returns the settlement. The trigger raises settlement_move_refused (409), with the current status as detail, for '
  'any other settlement, and nothing_to_invoice (409) for a total of zero. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function public.invoice_settlement to authenticated, service_role;
