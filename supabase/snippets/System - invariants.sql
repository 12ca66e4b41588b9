-- What must always hold: every row should say 0.
select name, violations, meaning
from stats.invariants
order by violations desc, name;
