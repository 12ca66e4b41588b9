create view private.import_voucher_bookings
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'voucher_id' as voucher_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'issuer_uid') as issuer_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'holder_uid') as holder_id,
  private.import_time(s.content ->> 'slot_start') as slot_start,
  private.import_time(s.content ->> 'slot_end') as slot_end,
  private.import_word(s.content ->> 'status') as status,
  s.content ->> 'cancel_reason' as cancel_reason,
  private.import_time(s.content ->> 'created_at') as created_at,
  private.import_time(s.content ->> 'cancelled_at') as cancelled_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_voucher_bookings is
  'The rows of a batch of the legacy table voucher_bookings, as they are written. slot_id follows from slot_start; a '
  'trigger copies the price of the voucher.';
