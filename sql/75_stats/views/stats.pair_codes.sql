create view stats.pair_codes
with (security_invoker = true)
as
select p.pair_code, count(*) as sessions, count(*) filter (where p.is_online) as online
from private.presence_facts p
where p.pair_code is not null
group by p.pair_code;

comment on view stats.pair_codes is
  'For each pair code: how many thinkers used it last, and how many of them are online.';

grant select on stats.pair_codes to service_role, stats_reader;
