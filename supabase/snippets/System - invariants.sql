-- Rules that must always hold: violations must be 0 in every row.
select name, violations, meaning
from stats.invariants
order by violations desc, name;
