create function private.tg_settlement_payments__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'settlement.payment', private.known_actor(), 'settlement', new.settlement_id,
    jsonb_strip_nulls(
      jsonb_build_object(
        'payment', new.id,
        'payer', private.uid_of(new.payer_id),
        'amountCents', new.amount_cents,
        'paidOn', new.paid_on,
        'reference', new.reference,
        'by', new.recorded_by
      )
    )
  );
  return null;
end;
$$;

comment on function private.tg_settlement_payments__write_event is
  'Writes the event settlement.payment for each payment; its actor is the acting admin, `by` the operator '
  '(private.operator_name).';

create trigger tg_settlement_payments__write_event
  after insert on public.settlement_payments
  for each row
  execute function private.tg_settlement_payments__write_event();
