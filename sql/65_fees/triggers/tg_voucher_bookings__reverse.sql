create function private.tg_voucher_bookings__reverse()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.fee_events (fee_id, subject_type, subject_id, currency, beneficiary_id, payer_id, reverses)
  select c.fee_id, c.subject_type, c.subject_id, c.currency, c.beneficiary_id, c.payer_id, c.id
  from public.fee_events c
  join public.fees f on f.id = c.fee_id
  where c.subject_type = 'voucher_booking' and c.subject_id = new.id and num_nonnulls(c.reverses, c.adjusts) = 0
    -- afterwards the appointment may have taken place
    and (new.cancelled_at < new.slot_start or f.reversed_after_start)
  on conflict do nothing;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__reverse is
  'Reverses what is left of the charges of a booking that is cancelled before its slot starts: one new row each, with '
  'the same beneficiary and payer. Later only those of fees with reversed_after_start, for all who cancel; an '
  'operator can reverse the others (public.reverse_fee).';

create trigger tg_voucher_bookings__reverse
  after update of status on public.voucher_bookings
  for each row
  when (old.status = 'booked' and new.status = 'cancelled')
  execute function private.tg_voucher_bookings__reverse();
