create table public.events (
  id           uuid        not null default private.new_uuid(),
  type         text        collate "C" not null,
  actor_id     uuid        references public.thinkers (id) on delete restrict,
  subject_type text        collate "C",
  subject_id   text        collate "C",
  meta         jsonb       not null default '{}',
  created_at   timestamptz not null default now(),

  constraint event_type_is_not_empty check (type <> ''),
  constraint event_type_has_at_most_255_characters check (char_length(type) <= 255),
  constraint subject_type_has_at_most_255_characters check (char_length(subject_type) <= 255),
  constraint subject_id_has_at_most_4096_bytes check (octet_length(subject_id) <= 4096),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint subject_has_type_and_id check ((subject_type is null) = (subject_id is null)),
  -- so short a text has no more levels, and no number beyond a double
  constraint meta_is_reasonable_json check (octet_length(meta::text) <= 126 or private.check_json(meta)),
  constraint times_are_in_the_calendar
    check (created_at >= '0001-01-01 00:00:00+00' and created_at < '10000-01-01 00:00:00+00'),

  primary key (id, created_at)
)
partition by range (created_at);

comment on table public.events is
  'The event log. Written by triggers only, in the transaction of the change that they log. Partitioned by months in '
  'UTC: private.make_event_partitions creates the partitions, private.drop_old_event_partitions drops them.';
comment on column public.events.type is 'The type of the event, such as voucher.book or transfer.logged.';
comment on column public.events.subject_type is
  'The kind of the affected object: voucher, voucher_booking, room, contract, transfer, mortgage_application, ...';
comment on column public.events.meta is 'Details for readers of the log; no tokens, no account numbers.';

-- includes the columns that figures count, for index-only scans
create index events_created_at_idx on public.events (created_at desc, id desc) include (type, actor_id);
create index events_actor_id_idx on public.events (actor_id);
create index events_subject_idx on public.events (subject_type, subject_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.events
  alter column subject_id set statistics 0;

alter table public.events enable row level security;

grant select on public.events to service_role, authenticated;

create policy "thinkers see what they did"
  on public.events
  for select
  to authenticated
  using (
    actor_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.events
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- also for each row, because partitions inherit only row triggers; make_event_partition adds the one against truncate
create trigger tg_events__refuse_row
before update or delete on public.events
for each row execute function private.tg_append_only__refuse();

create trigger tg_events__refuse
before update or delete or truncate on public.events
for each statement execute function private.tg_append_only__refuse();
