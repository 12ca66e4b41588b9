create view private.transfer_facts
as
select
  t.direction,
  -- thinkers choose it: many of the 4 KiB that it may have would make figures slow
  left(t.network, 200) as network,
  t.fiat_amount,
  t.fiat_currency,
  t.created_at
from public.transfers t;

comment on view private.transfer_facts is 'The columns of transfers that figures may read.';

grant select on private.transfer_facts to service_role, stats_reader;
