create view private.thinker_facts
as
select t.id, t.public_id as uid, t.created_at
from public.thinkers t;

comment on view private.thinker_facts is 'What figures need of thinkers: when they came, and the uid of a beneficiary.';

grant select on private.thinker_facts to service_role, stats_reader;
