create function private.reverse_charges(booking public.voucher_bookings, made_at timestamptz default now())
returns void
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
begin
  insert into public.fee_events (
    fee_id, subject_type, subject_id, currency, beneficiary_id, payer_id, reverses, created_at
  )
  select
    c.fee_id, c.subject_type, c.subject_id, c.currency, c.beneficiary_id, c.payer_id, c.id, reverse_charges.made_at
  from public.fee_events c
  join public.fees f on f.id = c.fee_id
  where c.subject_type = 'voucher_booking' and c.subject_id = booking.id and c.reverses is null and c.adjusts is null
    -- afterwards the appointment may have taken place
    and (booking.cancelled_at < booking.slot_start or f.reversed_after_start)
  on conflict do nothing;
end;
$$;

comment on function private.reverse_charges is
  'Reverses what is left of the charges of a cancelled booking: one new row each, with the same beneficiary and '
  'payer. Of a booking that was cancelled from the start of its slot on only those of fees with reversed_after_start, '
  'for all who cancel; an operator can reverse the others (public.reverse_fee).';
