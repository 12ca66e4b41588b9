create table public.properties (
  id         text  primary key,
  address    text,
  meta       jsonb not null default '{}',
  created_by uuid  references public.thinkers (id) on delete restrict,

  constraint property_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint meta_is_reasonable_json check (private.check_json(meta))
);

comment on table public.properties is 'What a mortgage is for (specification, 1.4). An application names it first; the address may follow.';
comment on column public.properties.created_by is
  'The borrower who named it first; null for one that an operator entered, or that was named before this was noted.';

create index properties_created_by_idx on public.properties (created_by);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.properties
  alter column id set statistics 0,
  alter column address set statistics 0;

alter table public.properties enable row level security;

grant select on public.properties to service_role, authenticated;
