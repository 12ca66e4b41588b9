create view private.offer_facts
as
select o.status, o.interest_rate, o.created_at, c.created_at as accepted_at
from public.mortgage_offers o
left join public.mortgage_contracts c on c.offer_id = o.id;

comment on view private.offer_facts is
  'The columns of mortgage offers that figures may read; an offer is accepted when its contract is created.';

grant select on private.offer_facts to service_role, stats_reader;
