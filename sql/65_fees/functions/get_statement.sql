create function public.get_statement(settlement_id uuid, after uuid default null, max_rows integer default 1000)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set statement_timeout = '2s'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- admins get larger pages, and more time, by get_settlement
  most       constant integer := least(get_statement.max_rows, 1000);
  settlement public.settlements;
begin
  perform private.is_valid_request();
  select * into settlement from public.settlements s where s.id = get_statement.settlement_id;
  if found and (
    settlement.beneficiary_id = auth.uid() or private.may_act_as('admin') or private.is_operator()
  ) then
    return private.settlement_statement(settlement, null, get_statement.after, most);
  end if;

  if not exists (
    select from private.statement_lines l where l.settlement_id = settlement.id and l.payer_id = auth.uid()
  ) then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;
  return private.settlement_statement(settlement, auth.uid(), get_statement.after, most);
end;
$$;

comment on function public.get_statement is
  'A settlement (private.settlement_statement), with at most 1000 lines in a page. Its beneficiary and admins get the '
  'whole settlement. A payer gets only the own lines and payments, and their sums as total_cents and paid_cents; and '
  'write_off_reason, if a part of the own debt was given up. All others get settlement_not_found. '
  'Raises: query_too_large (400); session_ended (401); settlement_not_found (404).';

grant execute on function public.get_statement to authenticated, service_role;
