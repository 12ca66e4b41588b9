create view private.statement_lines
with (security_invoker = true)
as
select
  e.id, l.settlement_id, l.month, e.created_at, e.fee_id, e.subject_type, e.subject_id, b.slot_start,
  e.beneficiary_id, e.payer_id, p.public_id as payer_uid, e.base_cents, e.rate, e.fixed_cents,
  -- as text, because most JSON parsers read numbers as doubles, which have fewer digits
  trim_scale(e.unrounded)::text as unrounded,
  e.bound, e.amount_cents, e.currency, e.reverses, e.adjusts, e.reason, e.operator,
  corrected.id as corrects_settlement_id, corrected.number as corrects_number,
  reversing.id as reversed_by_settlement_id, reversing.number as reversed_by_number
from public.settlement_lines l
join public.fee_events e on e.id = l.fee_event_id
left join public.thinkers p on p.id = e.payer_id
left join public.voucher_bookings b on e.subject_type = 'voucher_booking' and b.id = e.subject_id
left join public.fee_events charge on charge.id = coalesce(e.reverses, e.adjusts)
left join public.settlements corrected on corrected.id = charge.settlement_id
left join public.fee_events reversal on reversal.reverses = e.id
left join public.settlements reversing on reversing.id = reversal.settlement_id;

comment on view private.statement_lines is
  'The lines of settlements with everything that explains them. month: the month to which a line belongs. '
  'corrects_*: the settlement of the charge that a reversal or adjustment corrects. reversed_by_*: the settlement of '
  'the reversal of a charge. Null while those are in no settlement.';
