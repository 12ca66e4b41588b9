create function public.void_settlement(settlement_id uuid, reason text default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(void_settlement.settlement_id, 'voided', void_settlement.reason)
$$;

comment on function public.void_settlement is
  'Voids an open or invoiced settlement: it stays as it was, and its fee events are released, to be settled anew. Returns the '
  'settlement. Refuses: not_an_admin (403), settlement_not_found (404), settlement_move_refused (409, with the present status as '
  'detail).';

grant execute on function public.void_settlement to authenticated, service_role;
