create table public.contracts (
  id          uuid        primary key default private.new_uuid(),
  name        text        not null,
  mime_type   text,
  byte_size   bigint      not null,
  storage_url text        collate "C" not null unique,
  hash_sha256 text        collate "C" not null,
  created_by  uuid        references public.thinkers (id) on delete restrict,
  created_at  timestamptz not null default now(),

  constraint name_has_1_to_1000_characters check (char_length(name) between 1 and 1000),
  constraint mime_type_has_1_to_255_characters check (char_length(mime_type) between 1 and 255),
  constraint byte_size_is_not_negative check (byte_size >= 0),
  constraint storage_url_is_a_path_of_contracts check (storage_url ~ '^contracts/[^/]+/[^/]+$'),
  constraint storage_url_is_a_path_that_stores_take check (storage_url !~ '/\.\.?(/|$)|[\u0001-\u001f\u007f]|#[0-9]+$'),
  constraint storage_url_has_at_most_4_kib check (octet_length(storage_url) <= 4096),
  constraint hash_is_a_sha256_in_hex check (hash_sha256 ~ '^[0-9a-f]{64}$'),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.contracts is 'Documents of the legal hub. Their bytes are in the object store.';
comment on column public.contracts.mime_type is 'As sent by the client; null if not sent.';
comment on column public.contracts.storage_url is 'The path in the object store: contracts/<id>/<file name>.';
comment on column public.contracts.hash_sha256 is 'SHA-256 of the stored bytes, in hex.';
comment on column public.contracts.created_by is
  'The thinker who stored the document; null if a trusted server stored it without naming a thinker.';

create index contracts_created_by_idx on public.contracts (created_by, created_at) include (byte_size);
create index contracts_created_at_idx on public.contracts (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.contracts
  alter column name set statistics 0,
  alter column mime_type set statistics 0,
  alter column storage_url set statistics 0,
  alter column hash_sha256 set statistics 0;

alter table public.contracts enable row level security;

grant select on public.contracts to service_role, authenticated;

create policy "creators and parties see their documents"
  on public.contracts
  for select
  to authenticated
  using (
    id in (select private.my_contracts())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.contracts
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));
