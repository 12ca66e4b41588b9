create table public.rooms (
  id         text        primary key,
  type       text        not null default 'mixed',
  owner_id   uuid        references public.thinkers (id) on delete restrict,
  meta       jsonb       not null default '{}',
  created_at timestamptz not null default now(),

  constraint room_id_has_1_to_600_characters check (char_length(id) between 1 and 600),
  constraint room_type_is_valid check (type in ('text', 'video', 'file', 'contract', 'mixed')),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.rooms is 'A place where thinkers meet or leave documents (specification, 1.1).';
comment on column public.rooms.owner_id is 'Who made the room; null when a trusted server made it for nobody in particular.';
comment on column public.rooms.meta is 'Where the room comes from: {"source": "presence", "pair_code": ...}.';

create index rooms_owner_id_idx on public.rooms (owner_id);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.rooms
  alter column id set statistics 0;

alter table public.rooms enable row level security;

grant select on public.rooms to service_role, authenticated;

create policy "thinkers see their own rooms and those they are in"
  on public.rooms
  for select
  to authenticated
  using (
    owner_id = (select auth.uid())
    or id in (select private.my_rooms())
    or (select private.may_act_as('admin'))
  );
