create function public.invoice_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(invoice_settlement.settlement_id, 'invoiced')
$$;

comment on function public.invoice_settlement is
  'Notes that an open settlement is invoiced; no money is moved. Returns the settlement. Refuses: not_an_admin (403), '
  'settlement_not_found (404), settlement_move_refused (409, with the present status as detail).';

grant execute on function public.invoice_settlement to authenticated, service_role;
