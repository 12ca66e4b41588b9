create function public.get_settlement(settlement_id uuid, after uuid default null, max_rows integer default 1000)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set statement_timeout = '10s'
as $$
declare
  settlement public.settlements;
begin
  perform private.require_admin();
  select * into settlement from public.settlements s where s.id = get_settlement.settlement_id;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;
  return private.settlement_statement(settlement, null, get_settlement.after, get_settlement.max_rows);
end;
$$;

comment on function public.get_settlement is
  'One settlement with everything that explains it, and a page of its lines (private.settlement_statement), also of a '
  'voided one. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function public.get_settlement to service_role, authenticated;
