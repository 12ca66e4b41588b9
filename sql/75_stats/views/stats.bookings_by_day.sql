create view stats.bookings_by_day
with (security_invoker = true)
as
select
  d.day,
  (
    select count(*) from private.voucher_facts v where v.created_at >= d.starts_at and v.created_at < d.ends_at
  ) as issued,
  (
    select count(*) from private.booking_facts b where b.created_at >= d.starts_at and b.created_at < d.ends_at
  ) as bookings,
  (
    select count(*) from private.booking_facts b where b.cancelled_at >= d.starts_at and b.cancelled_at < d.ends_at
  ) as cancellations
from stats.days d;

comment on view stats.bookings_by_day is
  'Vouchers issued, bookings made and bookings cancelled on each day, including days with none.';
comment on column stats.bookings_by_day.bookings is 'Bookings made on that day, including those cancelled later.';

grant select on stats.bookings_by_day to service_role, stats_reader;
