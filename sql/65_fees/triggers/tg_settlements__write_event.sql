create function private.tg_settlements__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    case new.status
      when 'open' then 'settlement.created'
      when 'invoiced' then 'settlement.invoiced'
      when 'paid' then 'settlement.paid'
      when 'written_off' then 'settlement.written_off'
      when 'voided' then 'settlement.voided'
    end,
    private.known_actor(),
    'settlement',
    new.id,
    jsonb_strip_nulls(
      jsonb_build_object(
        'beneficiary', private.uid_of(new.beneficiary_id),
        'periodFrom', new.period_from,
        'periodTo', new.period_to,
        'totalCents', new.total_cents,
        'currency', new.currency,
        'number', new.number,
        'dueOn', new.due_on,
        'reason', left(coalesce(new.void_reason, new.write_off_reason), 1000),
        'by', private.operator_name()
      )
    )
  );
  return null;
end;
$$;

comment on function private.tg_settlements__write_event is
  'Writes the events settlement.created, settlement.invoiced, settlement.paid, settlement.written_off and '
  'settlement.voided; the actor is the acting admin, `by` the operator (private.operator_name).';

create trigger tg_settlements__write_event
  after insert or update of status on public.settlements
  for each row
  execute function private.tg_settlements__write_event();
