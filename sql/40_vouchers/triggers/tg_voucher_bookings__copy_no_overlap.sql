create function private.tg_voucher_bookings__copy_no_overlap()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  exclusive boolean;
begin
  -- the option stays as it is until this booking is committed. No lock of the issuer's row, which would keep the issuer
  -- from signing in while a stranger books. An import has one lock for all issuers
  if not private.is_import() then
    perform pg_advisory_xact_lock_shared(private.lock_number('no_overlap_of:' || new.issuer_id));
  end if;
  select t.no_overlap_across_vouchers into exclusive from public.thinkers t where t.id = new.issuer_id;

  -- history that an operator inserts may overlap
  new.no_overlap_across_vouchers := coalesce(exclusive and new.slot_end > now(), false);
  if new.no_overlap_across_vouchers then
    -- one booking at a time: two at the same hour would wait for each other
    perform pg_advisory_xact_lock(private.lock_number('appointments_of:' || new.issuer_id));
  end if;
  return new;
end;
$$;

comment on function private.tg_voucher_bookings__copy_no_overlap is
  'Copies the issuer''s option no_overlap_across_vouchers to a new or moved booking, for the constraint.';

create trigger tg_voucher_bookings__copy_no_overlap
  before insert or update of issuer_id, slot_start, slot_end on public.voucher_bookings
  for each row
  execute function private.tg_voucher_bookings__copy_no_overlap();
