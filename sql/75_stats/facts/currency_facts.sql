create view private.currency_facts
as
select c.code, c.exponent
from private.currencies c;

comment on view private.currency_facts is
  'The currencies for a view that joins many rows with them: private.currency_exponent takes longer for each row.';

grant select on private.currency_facts to service_role, stats_reader;
