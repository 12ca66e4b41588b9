create function public.write_off_settlement(settlement_id uuid, reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  settlement public.settlements;
  was        text;
begin
  perform private.require_admin();
  if btrim(coalesce(write_off_settlement.reason, '')) = '' then
    raise sqlstate 'PT400' using message = 'reason_required';
  end if;

  select s.status into was from public.settlements s where s.id = write_off_settlement.settlement_id for no key update;
  perform private.take_off_credits(write_off_settlement.settlement_id);
  select * into settlement from public.settlements s where s.id = write_off_settlement.settlement_id;
  if was = 'invoiced' and settlement.status = 'paid' then
    return private.settlement_json(settlement);
  end if;
  return private.move_settlement(write_off_settlement.settlement_id, 'written_off', write_off_settlement.reason);
end;
$$;

comment on function public.write_off_settlement is
  'Gives up what is not paid of an invoiced settlement; payments stay. What was given back of its charges since is '
  'taken off before (private.take_off_credits), because a credit must not outlive the debt; if nothing is left then, '
  'the settlement is paid, and not written off. Returns the settlement. The trigger raises settlement_move_refused '
  '(409), with the current status as detail, for any other settlement, and nothing_to_pay (409) for a negative total. '
  'Raises: query_too_large, reason_required (400); session_ended (401); not_an_admin (403); settlement_not_found '
  '(404).';

grant execute on function public.write_off_settlement to authenticated, service_role;
