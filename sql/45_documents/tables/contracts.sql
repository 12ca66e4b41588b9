create table public.contracts (
  id          uuid        primary key default private.new_uuid(),
  name        text        not null,
  mime_type   text,
  byte_size   bigint      not null,
  storage_url text        not null unique,
  hash_sha256 text        not null,
  created_by  uuid        references public.thinkers (id) on delete restrict,
  created_at  timestamptz not null default now(),

  constraint name_has_1_to_1000_characters check (char_length(name) between 1 and 1000),
  constraint mime_type_has_1_to_255_characters check (char_length(mime_type) between 1 and 255),
  constraint byte_size_is_not_negative check (byte_size >= 0),
  constraint storage_url_is_a_path_of_contracts check (storage_url ~ '^contracts/[^/]+/[^/]+$'),
  constraint hash_is_a_sha256_in_hex check (hash_sha256 ~ '^[0-9a-f]{64}$'),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.contracts is 'A document of the legal hub, whose bytes lie in the object store (specification, 1.3).';
comment on column public.contracts.mime_type is 'As the client named it; null when it did not.';
comment on column public.contracts.storage_url is 'The path in the object store: contracts/<id>/<file name>.';
comment on column public.contracts.hash_sha256 is 'Of the bytes as they were stored, in hex.';
comment on column public.contracts.created_by is 'Null when a trusted server stored it for nobody in particular.';

create index contracts_created_by_idx on public.contracts (created_by);
create index contracts_created_at_idx on public.contracts (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
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
