create function private.tg_thinkers__apply_no_overlap()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- wait for the bookings that have read the option before
  perform pg_advisory_xact_lock(private.lock_number('no_overlap_of:' || new.id));
  perform pg_advisory_xact_lock(private.lock_number('no_overlap_of_imported'));

  update public.voucher_bookings b
  set no_overlap_across_vouchers = new.no_overlap_across_vouchers
  where b.issuer_id = new.id and b.status = 'booked' and b.slot_end > now();
  return null;
end;
$$;

comment on function private.tg_thinkers__apply_no_overlap is
  'Applies a changed option no_overlap_across_vouchers to the issuer''s active bookings that are not over. If these '
  'overlap, they violate the constraint, and the option stays off.';

create trigger tg_thinkers__apply_no_overlap
  after update of no_overlap_across_vouchers on public.thinkers
  for each row
  when (old.no_overlap_across_vouchers <> new.no_overlap_across_vouchers)
  execute function private.tg_thinkers__apply_no_overlap();
