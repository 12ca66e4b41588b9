create view private.booking_facts
as
select b.voucher_id, b.status, b.slot_start, b.slot_end, b.created_at, b.cancelled_at, b.price_amount,
  b.price_currency
from public.voucher_bookings b
-- an issuer that books its own voucher blocks time, and sells nothing
where b.holder_id <> b.issuer_id;

comment on view private.booking_facts is
  'The bookings that figures count, without those of issuers with themselves, and the columns that figures may read.';

grant select on private.booking_facts to service_role, stats_reader;
