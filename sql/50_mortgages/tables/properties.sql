create table public.properties (
  id         text  collate "C" primary key,
  address    text,
  meta       jsonb not null default '{}',
  created_by uuid  references public.thinkers (id) on delete restrict,

  constraint property_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint address_has_at_most_4_kib check (octet_length(address) <= 4096),
  constraint meta_is_reasonable_json check (private.check_json(meta))
);

comment on table public.properties is
  'Properties for which mortgages are requested. An application creates the row; the address may be added later.';
comment on column public.properties.created_by is
  'The borrower who named the property first; null if an operator entered it.';

create index properties_created_by_idx on public.properties (created_by);

-- no planner statistics, see 10_core/privileges.sql
alter table public.properties
  alter column id set statistics 0,
  alter column address set statistics 0;

alter table public.properties enable row level security;

grant select on public.properties to service_role, authenticated;
