create table private.idempotency_keys (
  actor       text        collate "C" not null,
  key         text        collate "C" not null,
  fingerprint bytea       not null,
  response    jsonb       not null,
  created_at  timestamptz not null default now(),

  primary key (actor, key),
  constraint key_has_1_to_255_characters check (char_length(key) between 1 and 255),
  constraint fingerprint_is_a_sha256 check (octet_length(fingerprint) = 32)
);

comment on table private.idempotency_keys is
  'The response to each request that carried an idempotency key, written in the same transaction as the request''s '
  'effect and valid for 24 hours. Written by store_response, read by replay_response.';
comment on column private.idempotency_keys.actor is
  'The owner of the key: the id of the acting thinker, or the role if no thinker acts.';
comment on column private.idempotency_keys.fingerprint is 'SHA-256 of the function''s name and arguments.';

create index idempotency_keys_created_at_idx on private.idempotency_keys (created_at);

alter table private.idempotency_keys enable row level security;
