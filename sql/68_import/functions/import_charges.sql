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

  perform private.charge(
    'voucher', 'voucher_booking', b.id, b.price_amount, b.price_currency, b.issuer_id,
    jsonb_build_object('holder', b.holder_id), b.created_at
  )
  from private.import_staging s
  join public.voucher_bookings b on b.id = s.id
  where s.n = any (import_charges.ns) and b.created_at >= since and b.holder_id <> b.issuer_id;

  perform private.reverse_charges(b, b.cancelled_at)
  from private.import_staging s
  join public.voucher_bookings b on b.id = s.id
  where s.n = any (import_charges.ns) and b.status = 'cancelled';
end;
$$;

comment on function private.import_charges is
  'Charges the bookings of a batch that were made from the day of import_runs.charge_from on, as of their own time and '
  'by the fees of that time, and reverses the charges of those that were cancelled, as of the cancellation.';
