create view stats.revenue_by_day
with (security_invoker = true)
as
select d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.bookings, r.amount_cents
from stats.days d
cross join lateral (
  select v.price_currency as currency, count(*) as bookings, sum(v.price_amount) as amount_cents
  from private.booking_facts b
  join private.voucher_facts v on v.id = b.voucher_id
  where b.created_at >= d.starts_at and b.created_at < d.ends_at
    and b.status = 'booked' and v.price_currency is not null
  group by v.price_currency
) r;

comment on view stats.revenue_by_day is
  'The prices of the active bookings of each day, by currency; a booking that is cancelled later is removed from its '
  'day. This is the revenue of the issuers; stats.fees_by_day has the portal''s own.';
comment on column stats.revenue_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.revenue_by_day.amount_cents is 'In the currency''s minor unit.';

grant select on stats.revenue_by_day to service_role, stats_reader;
