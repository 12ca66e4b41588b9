create view private.fee_event_facts
as
select
  f.fee_id,
  f.beneficiary_id,
  f.currency,
  f.amount_cents,
  f.reverses is not null as is_reversal,
  f.settlement_id is not null as is_settled,
  f.created_at,
  f.adjusts is not null as is_adjustment
from public.fee_events f;

comment on view private.fee_event_facts is 'The columns of fee events that figures may read.';

grant select on private.fee_event_facts to service_role, stats_reader;
