create view stats.mortgages_by_day
with (security_invoker = true)
as
select
  d.day,
  (
    select count(*) from private.application_facts a where a.created_at >= d.starts_at and a.created_at < d.ends_at
  ) as applications,
  (select count(*) from private.offer_facts o where o.created_at >= d.starts_at and o.created_at < d.ends_at) as offers,
  (
    select count(*) from private.offer_facts o where o.accepted_at >= d.starts_at and o.accepted_at < d.ends_at
  ) as accepted
from stats.days d;

comment on view stats.mortgages_by_day is
  'Mortgage applications, offers and accepted offers of each day, including days with none.';

grant select on stats.mortgages_by_day to service_role, stats_reader;
