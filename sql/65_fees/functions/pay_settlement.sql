create function public.pay_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
set statement_timeout = '10s'
as $$
  select private.move_settlement(pay_settlement.settlement_id, 'paid')
$$;

comment on function public.pay_settlement is
  'Marks an invoiced settlement as paid; no money is moved. Returns the settlement. The trigger raises '
  'settlement_move_refused (409), with the current status as detail, for any other settlement. '
  'Raises: not_an_admin (403); settlement_not_found (404).';

grant execute on function public.pay_settlement to authenticated, service_role;
