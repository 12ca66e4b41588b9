create function private.tg_settlement_payments__apply()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  settlement public.settlements;
  remainder  numeric;
  direction  integer;
begin
  -- concurrent payments wait here, and then see each other
  select * into settlement from public.settlements s where s.id = new.settlement_id for no key update;
  perform private.take_turn(new.settlement_id);
  if settlement.status <> 'invoiced' then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = settlement.status;
  end if;
  remainder := private.settlement_remainder(settlement);
  -- a credit note has a negative total, and is paid by being taken off an invoice (private.take_off_credits)
  direction := sign(settlement.total_cents);
  if sign(new.amount_cents) <> direction or remainder * direction < 0
    or private.settlement_remainder(settlement, new.payer_id) * direction < 0
  then
    raise sqlstate 'PT409' using message = 'payment_too_high';
  end if;

  if remainder = 0 then
    update public.settlements s set status = 'paid' where s.id = settlement.id;
  end if;
  return null;
end;
$$;

comment on function private.tg_settlement_payments__apply is
  'Refuses a payment of a settlement that is not invoiced, or of more than is left of it or of the payer''s part; '
  'a credit note is paid by negative amounts. '
  'Marks the settlement as paid with the last part. '
  'Raises: payment_too_high (409); settlement_move_refused (409).';

create trigger tg_settlement_payments__apply
  after insert on public.settlement_payments
  for each row
  execute function private.tg_settlement_payments__apply();
