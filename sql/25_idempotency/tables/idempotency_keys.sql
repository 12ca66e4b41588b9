create table private.idempotency_keys (
  actor       text        not null,
  key         text        not null,
  fingerprint bytea       not null,
  answer      jsonb       not null,
  created_at  timestamptz not null default now(),

  primary key (actor, key),
  constraint key_has_1_to_255_characters check (char_length(key) between 1 and 255),
  constraint fingerprint_is_a_sha256 check (octet_length(fingerprint) = 32)
);

comment on table private.idempotency_keys is
  'What was answered to a request that carried an idempotency key, written in the transaction of its effect and good for 24 '
  'hours. Written by keep_answer, read by first_answer.';
comment on column private.idempotency_keys.actor is
  'Whose key it is: the id of the thinker who acts, or the role of who acts for nobody in particular.';
comment on column private.idempotency_keys.fingerprint is 'SHA-256 of the function and its arguments.';

create index idempotency_keys_created_at_idx on private.idempotency_keys (created_at);

alter table private.idempotency_keys enable row level security;
