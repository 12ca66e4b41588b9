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

alter table public.contracts enable row level security;

grant select on public.contracts to service_role;

create table public.contract_links (
  id          uuid        primary key default private.new_uuid(),
  contract_id uuid        not null references public.contracts (id) on delete cascade,
  voucher_id  text        references public.vouchers (id) on delete restrict,
  room_id     text        references public.rooms (id) on delete restrict,
  role        text        not null default 'primary',
  created_at  timestamptz not null default now(),

  constraint link_role_is_valid check (role in ('primary', 'annex', 'offer', 'application')),
  constraint link_has_a_voucher_or_a_room check (num_nonnulls(voucher_id, room_id) >= 1),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.contract_links is 'What a contract belongs to: a voucher, a room or both (specification, 1.3).';

create index contract_links_contract_id_idx on public.contract_links (contract_id);
create index contract_links_voucher_id_idx on public.contract_links (voucher_id);
create index contract_links_room_id_idx on public.contract_links (room_id);

alter table public.contract_links enable row level security;

grant select on public.contract_links to service_role;

create function private.contract_json(contract public.contracts)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(contract) || jsonb_build_object('created_by_uid', private.uid_of(contract.created_by))
$$;

comment on function private.contract_json is 'A contract as the functions return it: its columns, and the uid of its creator.';

grant execute on function private.contract_json to service_role;

create function public.record_contract(
  contract_id uuid,
  name        text,
  mime_type   text,
  byte_size   bigint,
  storage_url text,
  hash_sha256 text,
  voucher_id  text default null,
  room_id     text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  creator  uuid;
  contract jsonb;
  link_id  uuid;
begin
  if auth.uid() is not null then
    creator := private.acting_thinker();
  end if;

  if record_contract.voucher_id is not null then
    perform from public.vouchers v where v.id = record_contract.voucher_id for key share;
    if not found then
      raise sqlstate 'PT404' using message = 'voucher_not_found';
    end if;
  end if;
  if record_contract.room_id is not null then
    insert into public.rooms (id, type, owner_id, meta)
    values (record_contract.room_id, 'contract', creator, '{"source": "contract"}')
    on conflict (id) do nothing;
  end if;

  -- one statement, at whose end the trigger that writes the event sees the link too
  with new_contract as (
    insert into public.contracts (id, name, mime_type, byte_size, storage_url, hash_sha256, created_by)
    values (
      record_contract.contract_id, record_contract.name, record_contract.mime_type, record_contract.byte_size,
      record_contract.storage_url, record_contract.hash_sha256, creator
    )
    returning *
  ),
  new_link as (
    insert into public.contract_links (contract_id, voucher_id, room_id)
    select c.id, record_contract.voucher_id, record_contract.room_id
    from new_contract c
    where num_nonnulls(record_contract.voucher_id, record_contract.room_id) > 0
    returning id
  )
  select private.contract_json(c::public.contracts), (select l.id from new_link l)
  into contract, link_id
  from new_contract c;

  return jsonb_build_object('contract', contract, 'link_id', link_id);
end;
$$;

comment on function public.record_contract is
  'Records a document whose bytes a trusted server has stored, and links it to a voucher, a room or both. A room that does '
  'not exist is made (type contract, owned by the actor). Returns {contract, link_id}. Refuses: voucher_not_found (404).';

grant execute on function public.record_contract to service_role;

create function public.list_contracts(voucher_id text default null, room_id text default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.contract_json(c) order by c.created_at desc, c.id desc), '[]')
  from public.contracts c
  where (list_contracts.voucher_id is null and list_contracts.room_id is null)
    or exists (
      select from public.contract_links l
      where l.contract_id = c.id
        and (list_contracts.voucher_id is null or l.voucher_id = list_contracts.voucher_id)
        and (list_contracts.room_id is null or l.room_id = list_contracts.room_id)
    )
$$;

comment on function public.list_contracts is
  'The contracts that the caller may read, newest first; of a voucher, of a room, or with one link to both.';

grant execute on function public.list_contracts to service_role;
