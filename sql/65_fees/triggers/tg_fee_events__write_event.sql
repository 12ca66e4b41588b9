create function private.tg_fee_events__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    case when new.adjusts is null then 'fee.reversed' else 'fee.adjusted' end,
    private.known_actor(), 'fee_event', new.id,
    jsonb_build_object(
      case when new.adjusts is null then 'reverses' else 'adjusts' end, coalesce(new.reverses, new.adjusts),
      'amountCents', new.amount_cents,
      'currency', new.currency,
      'reason', left(new.reason, 1000),
      'by', new.operator
    )
  );
  return null;
end;
$$;

comment on function private.tg_fee_events__write_event is
  'Writes the event fee.reversed or fee.adjusted for a charge that an operator corrected: its actor is the acting '
  'admin; `by` is the operator (private.operator_name).';

create trigger tg_fee_events__write_event
  after insert on public.fee_events
  for each row
  when (new.reason is not null)
  execute function private.tg_fee_events__write_event();
