create function private.import_charges(ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  since constant timestamptz := (select r.charge_from from private.import_runs r where r.id = import_charges.run);
begin
  if since is null then
    return;
  end if;

  insert into public.fee_events (
    fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, base_cents, rate, fixed_cents,
    unrounded, bound, created_at
  )
  select
    (f).id, 'voucher_booking', b.id, c.amount_cents, c.currency, (f).beneficiary_id,
    case (f).payer when 'holder' then b.holder_id else b.issuer_id end, c.base_cents, c.rate, c.fixed_cents,
    c.unrounded, c.bound, b.created_at
  from private.import_staging s
  join public.voucher_bookings b on b.id = s.id
  cross join lateral private.fees_at(b.created_at) as f
  cross join lateral private.compute_fee(f, coalesce(b.price_amount, 0), private.currency_code(b.price_currency)) as c
  where s.n = any (import_charges.ns) and b.created_at >= since and b.holder_id <> b.issuer_id
    and (f).active and (f).scope = 'voucher';

  insert into public.fee_events (
    fee_id, subject_type, subject_id, currency, beneficiary_id, payer_id, reverses, created_at
  )
  select c.fee_id, c.subject_type, c.subject_id, c.currency, c.beneficiary_id, c.payer_id, c.id, b.cancelled_at
  from private.import_staging s
  join public.voucher_bookings b on b.id = s.id
  join public.fee_events c on c.subject_type = 'voucher_booking' and c.subject_id = b.id and c.reverses is null
  join public.fees f on f.id = c.fee_id
  where s.n = any (import_charges.ns) and b.status = 'cancelled'
    and (b.cancelled_at < b.slot_start or f.reversed_after_start);
end;
$$;

comment on function private.import_charges is
  'Charges the bookings of a batch that were made from the day of import_runs.charge_from on, as of their own time and '
  'by the fees of that time, and reverses the charges of those that were cancelled, as of the cancellation.';
