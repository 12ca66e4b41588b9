create view stats.revenue_by_day
with (security_invoker = true)
as
select
  d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.bookings, r.amount_cents, r.booked,
  r.booked_cents
from stats.days d
cross join lateral (
  select
    b.price_currency as currency,
    count(*) filter (where b.status = 'booked') as bookings,
    coalesce(sum(b.price_amount) filter (where b.status = 'booked'), 0) as amount_cents,
    count(*) as booked,
    sum(b.price_amount) as booked_cents
  from private.booking_facts b
  where b.created_at >= d.starts_at and b.created_at < d.ends_at and b.price_currency is not null
  group by b.price_currency
) r;

comment on view stats.revenue_by_day is
  'The prices of the bookings of each day, by currency: as it stands now (bookings, amount_cents), where a booking '
  'that is cancelled later is removed from its day, and as booked (booked, booked_cents), which does not change any '
  'more. This is the revenue of the issuers; stats.fees_by_day has the portal''s own.';
comment on column stats.revenue_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.revenue_by_day.bookings is 'The active bookings.';
comment on column stats.revenue_by_day.amount_cents is 'Of the active bookings, in the currency''s minor unit.';
comment on column stats.revenue_by_day.booked is 'All bookings, cancelled ones too.';
comment on column stats.revenue_by_day.booked_cents is 'Of all bookings, in the currency''s minor unit.';

grant select on stats.revenue_by_day to service_role, stats_reader;
