create view stats.invariants
with (security_invoker = true)
as
select i.name, i.violations, i.meaning
from private.invariant_facts i;

comment on view stats.invariants is
  'What must always be true, one row a rule: its name, how many rows break it (0), and what would break it.';

grant select on stats.invariants to service_role, stats_reader;
