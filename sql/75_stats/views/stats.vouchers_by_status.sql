create view stats.vouchers_by_status
with (security_invoker = true)
as
select v.status, count(*) as vouchers
from private.voucher_facts v
group by v.status;

comment on view stats.vouchers_by_status is 'The current number of vouchers by status.';

grant select on stats.vouchers_by_status to service_role, stats_reader;
