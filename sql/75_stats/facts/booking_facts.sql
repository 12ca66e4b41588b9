create view private.booking_facts
as
select b.voucher_id, b.status, b.slot_start, b.slot_end, b.created_at, b.cancelled_at
from public.voucher_bookings b;

comment on view private.booking_facts is 'The columns of bookings that figures may read.';

grant select on private.booking_facts to service_role, stats_reader;
