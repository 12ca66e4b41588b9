create function private.tg_fee_events__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'fee.reversed', private.known_actor(), 'fee_event', new.id,
    jsonb_build_object(
      'reverses', new.reverses,
      'amountCents', new.amount_cents,
      'currency', new.currency,
      'reason', left(new.reason, 1000),
      'by', coalesce(auth.role(), session_user)
    )
  );
  return null;
end;
$$;

comment on function private.tg_fee_events__write_event is
  'Writes the event fee.reversed for a charge that an operator reversed: its actor is the acting admin; `by` names the '
  'database role of a caller, or the login of an operator.';

create trigger tg_fee_events__write_event
  after insert on public.fee_events
  for each row
  when (new.reason is not null)
  execute function private.tg_fee_events__write_event();
