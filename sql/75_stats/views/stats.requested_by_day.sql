create view stats.requested_by_day
with (security_invoker = true)
as
select d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.applications, r.amount_cents
from stats.days d
cross join lateral (
  select a.currency, count(*) as applications, sum(a.desired_loan) as amount_cents
  from private.application_facts a
  where a.created_at >= d.starts_at and a.created_at < d.ends_at and a.currency is not null
  group by a.currency
) r;

comment on view stats.requested_by_day is
  'The loans requested on each day, by currency, without applications that name no amount.';
comment on column stats.requested_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.requested_by_day.amount_cents is 'In the currency''s minor unit.';

grant select on stats.requested_by_day to service_role, stats_reader;
