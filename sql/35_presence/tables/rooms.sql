create table public.rooms (
  id         text        collate "C" primary key,
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

comment on table public.rooms is 'Places where thinkers meet or store documents.';
comment on column public.rooms.owner_id is
  'The thinker who created the room; null if a trusted server created it without naming a thinker.';
comment on column public.rooms.meta is 'Origin of the room: {"source": "presence", "pair_code": ...}.';

create index rooms_owner_id_idx on public.rooms (owner_id);

-- no planner statistics, see 10_core/privileges.sql
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

create policy "requests are valid"
  on public.rooms
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));
