create view stats.invariants
with (security_invoker = true)
as
select i.name collate "C" as name, i.violations, i.meaning
from private.invariant_facts i;

comment on view stats.invariants is
  'Rules that must always hold, one row a rule: its name, the number of rows that violate it (0), and what a violation '
  'is.';

grant select on stats.invariants to service_role, stats_reader;
