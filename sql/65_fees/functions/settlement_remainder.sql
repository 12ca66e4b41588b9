create function private.settlement_remainder(settlement public.settlements, payer_uid text default null)
returns numeric
language sql
stable
set search_path = ''
as $$
  select
    coalesce(
      case
        when settlement_remainder.payer_uid is null then settlement.total_cents
        else (
          select sum(e.amount_cents)
          from public.settlement_lines l
          join public.fee_events e on e.id = l.fee_event_id
          where l.settlement_id = settlement.id and e.payer_id = private.thinker_id(settlement_remainder.payer_uid)
        )
      end,
      0
    )
    - coalesce(
      (
        select sum(p.amount_cents)
        from public.settlement_payments p
        where p.settlement_id = settlement.id
          and (
            settlement_remainder.payer_uid is null
            or p.payer_id = private.thinker_id(settlement_remainder.payer_uid)
          )
      ),
      0
    )
$$;

comment on function private.settlement_remainder is
  'What is not paid of a settlement, or of the part of one payer (whose payments are those that name the payer), in '
  'the minor unit of its currency.';
