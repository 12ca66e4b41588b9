create view stats.offers_by_day
with (security_invoker = true)
as
select d.day, o.*
from stats.days d
cross join lateral (
  select
    o.status,
    count(*) as offers,
    count(o.interest_rate) as rates,
    sum(o.interest_rate) as rates_total,
    min(o.interest_rate) as lowest_rate,
    max(o.interest_rate) as highest_rate
  from private.offer_facts o
  where o.created_at >= d.starts_at and o.created_at < d.ends_at
  group by o.status
) o;

comment on view stats.offers_by_day is 'The mortgage offers made on each day, by their current status.';
comment on column stats.offers_by_day.rates is
  'The number of offers with an interest rate; rates_total / rates is the average.';
comment on column stats.offers_by_day.rates_total is
  'The sum of the interest rates, as fractions a year: 0.031 is 3.1 percent.';

grant select on stats.offers_by_day to service_role, stats_reader;
