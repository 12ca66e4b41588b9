create table private.turns (
  id   uuid   primary key,
  turn bigint not null
);

comment on table private.turns is
  'How often each charge was corrected, and each settlement paid, voided or written off. Two transactions that do so '
  'to the same one wait for each other here (private.take_turn).';
comment on column private.turns.id is 'The id of the charge or of the settlement.';

alter table private.turns enable row level security;
