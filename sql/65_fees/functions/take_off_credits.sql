create function private.take_off_credits(settlement_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  invoice public.settlements;
  today   date;
  debt    record;
  note    public.settlements;
  taken   bigint;
begin
  select * into invoice from public.settlements s where s.id = take_off_credits.settlement_id for no key update;
  if invoice.status is distinct from 'invoiced' then
    return;
  end if;
  perform private.take_turn(invoice.id);
  select (now() at time zone s.time_zone)::date into today from private.settings s;

  for debt in
    select r.payer_id, r.cents
    from private.receivable_facts r
    where r.settlement_id = invoice.id and r.payer_id is not null and r.cents > 0
    order by r.payer_id
  loop
    -- one statement, as in settle_fees: what is settled meanwhile is left out
    with given_back as (
      select c.id as charge_id, -sum(e.amount_cents) as cents
      from public.fee_events e
      join public.fee_events c on c.id = coalesce(e.reverses, e.adjusts)
      where e.settlement_id is null and e.payer_id = debt.payer_id and c.settlement_id = invoice.id
      group by c.id
      having sum(e.amount_cents) < 0
    ),
    oldest_first as (
      select g.charge_id, sum(g.cents) over (order by g.charge_id) - g.cents as before from given_back g
    ),
    note_id as materialized (
      select private.new_uuid() as id
    ),
    linked as (
      update public.fee_events e
      set settlement_id = n.id
      from oldest_first o
      cross join note_id n
      where o.before < debt.cents and (e.reverses = o.charge_id or e.adjusts = o.charge_id) and e.settlement_id is null
      returning e.settlement_id, e.amount_cents
    )
    insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency)
    select
      l.settlement_id, invoice.beneficiary_id, invoice.period_from, invoice.period_to, sum(l.amount_cents),
      invoice.currency
    from linked l
    group by l.settlement_id
    returning * into note;
    continue when not found;

    update public.settlements s set status = 'invoiced' where s.id = note.id returning * into note;
    taken := least(debt.cents, -note.total_cents);
    insert into public.settlement_payments (settlement_id, payer_id, amount_cents, paid_on, reference)
    values
      (note.id, debt.payer_id, -taken, today, 'taken off ' || invoice.number),
      (invoice.id, debt.payer_id, taken, today, 'credit note ' || note.number);
  end loop;
end;
$$;

comment on function private.take_off_credits is
  'Takes off an invoice what was given back of its charges since: for each payer that owes a part of it, the '
  'corrections that are in no settlement become a credit note (a settlement with a negative total for the same '
  'period), which pays the payer''s part, and is paid by it. Where a payer has paid more than is left, the rest of the '
  'credit note is owed to the payer. Does nothing to a settlement that is not invoiced.';
