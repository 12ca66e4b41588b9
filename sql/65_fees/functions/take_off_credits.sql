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
    where r.settlement_id = invoice.id and r.cents > 0
      -- "is true" keeps it a look into a hash
      and (
        r.payer_id in (
          select e.payer_id
          from public.fee_events e
          where e.settlement_id is null and (e.reverses is not null or e.adjusts is not null)
        )
      ) is true
    order by r.payer_id
  loop
    -- one statement, as in settle_fees: what is settled meanwhile is left out
    with correction as (
      select e.id, e.amount_cents, c.id as charge_id, sum(e.amount_cents) over (partition by c.id) as net
      from public.fee_events e
      join public.fee_events c on c.id = coalesce(e.reverses, e.adjusts)
      where e.settlement_id is null and e.payer_id = debt.payer_id and c.settlement_id = invoice.id
    ),
    oldest_first as materialized (
      -- of a charge all or none, as long as those of the charges before give back less than the debt
      select k.id, k.net - sum(k.amount_cents) over (order by k.charge_id) as before
      from correction k
      where k.net < 0
    ),
    note_id as materialized (
      select private.new_uuid() as id
    ),
    linked as (
      update public.fee_events e
      set settlement_id = n.id
      from oldest_first o
      cross join note_id n
      -- "is true" keeps it a search by id, however few fee events in no settlement the statistics expect
      where o.before < debt.cents and e.id = o.id and (e.settlement_id is null) is true
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
