create view private.thinker_facts
as
select t.id, t.public_id as uid, t.created_at
from public.thinkers t;

comment on view private.thinker_facts is
  'The columns of thinkers that figures may read: the time of creation, and the uid, for beneficiaries.';

grant select on private.thinker_facts to service_role, stats_reader;
