create function private.settlement_remainder(settlement public.settlements, payer uuid default null)
returns numeric
language sql
stable
set search_path = ''
as $$
  select
    case
      when settlement_remainder.payer is null then settlement.total_cents
      else (
        select coalesce(sum(e.amount_cents), 0)
        from public.settlement_lines l
        join public.fee_events e on e.id = l.fee_event_id
        where l.settlement_id = settlement.id and e.payer_id = settlement_remainder.payer
      )
    end
    - (
      select coalesce(sum(p.amount_cents), 0)
      from public.settlement_payments p
      where p.settlement_id = settlement.id
        and (settlement_remainder.payer is null or p.payer_id = settlement_remainder.payer)
    )
$$;

comment on function private.settlement_remainder is
  'What is not paid of a settlement, or of the part of one payer (whose payments are those that name the payer), in '
  'the minor unit of its currency.';
