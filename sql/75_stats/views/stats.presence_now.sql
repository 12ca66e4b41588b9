create view stats.presence_now
with (security_invoker = true)
as
select count(*) as online
from private.presence_facts p
where p.is_online;

comment on view stats.presence_now is 'The number of thinkers who are online, in one row.';

grant select on stats.presence_now to service_role, stats_reader;
