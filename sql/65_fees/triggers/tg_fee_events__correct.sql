create function private.tg_fee_events__correct()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  charged    public.fee_events;
  remainder  numeric;
  constraint_name text;
begin
  -- one correction of a charge at a time: the next one sees what this one leaves. No lock of the row, which a running
  -- settlement holds
  perform private.take_turn(coalesce(new.reverses, new.adjusts));
  select * into charged
  from public.fee_events e
  where e.id = coalesce(new.reverses, new.adjusts);
  remainder := private.fee_remainder(charged);

  if new.reverses is not null then
    new.amount_cents := coalesce(new.amount_cents, -remainder);
  end if;
  if new.reason is not null then
    new.operator := coalesce(new.operator, private.operator_name());
  end if;

  constraint_name := case
    when num_nonnulls(charged.reverses, charged.adjusts) > 0 then 'a_correction_names_a_charge'
    when (new.fee_id, new.subject_type, new.subject_id, new.currency, new.beneficiary_id, new.payer_id)
      is distinct from (
        charged.fee_id, charged.subject_type, charged.subject_id, charged.currency, charged.beneficiary_id,
        charged.payer_id
      )
      then 'a_correction_agrees_with_its_charge'
    when new.reverses is not null and new.amount_cents <> -remainder then 'a_reversal_takes_back_what_is_left'
    when new.adjusts is not null
      and exists (select from public.fee_events e where e.reverses = charged.id)
      then 'a_reversed_charge_is_not_adjusted'
    when remainder + new.amount_cents not between 0 and 9007199254740991
      then 'an_adjusted_charge_is_a_safe_amount'
  end;
  if constraint_name is not null then
    raise check_violation using
      constraint = constraint_name,
      message = format('correction of fee event %s violates constraint "%s"', charged.id, constraint_name);
  end if;
  return new;
end;
$$;

comment on function private.tg_fee_events__correct is
  'Checks a reversal or an adjustment against its charge: same fee, subject, currency, beneficiary and payer; a '
  'reversal takes back what earlier adjustments left of the charge (null as its amount becomes that); an adjustment '
  'leaves at least zero, and a reversed charge is not adjusted. Raises check_violation otherwise.';

create trigger tg_fee_events__correct
  before insert on public.fee_events
  for each row
  when (num_nonnulls(new.reverses, new.adjusts) > 0)
  execute function private.tg_fee_events__correct();
