create table public.telemetry_events (
  id         text        collate "C" primary key default private.new_id('te'),
  type       text        collate "C" not null,
  path       text,
  actor_id   uuid        references public.thinkers (id) on delete set null,
  meta       jsonb,
  created_at timestamptz not null default now(),

  constraint telemetry_type_has_1_to_255_characters check (char_length(type) between 1 and 255),
  constraint path_has_at_most_4096_characters check (char_length(path) <= 4096),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint telemetry_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.telemetry_events is
  'What the portal''s pages report about themselves: views, clicks, errors. Written by record_telemetry. Login tokens '
  'are not stored (private.without_tokens).';
comment on column public.telemetry_events.meta is 'As sent by the page; any JSON.';

create index telemetry_events_actor_id_idx on public.telemetry_events (actor_id);
create index telemetry_events_created_at_idx on public.telemetry_events (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.telemetry_events
  alter column id set statistics 0,
  alter column type set statistics 0,
  alter column path set statistics 0;

alter table public.telemetry_events enable row level security;

grant select on public.telemetry_events to service_role, authenticated;

create policy "thinkers see what was reported of them"
  on public.telemetry_events
  for select
  to authenticated
  using (
    actor_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.telemetry_events
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));
