create table public.events (
  id           uuid        not null default private.new_uuid(),
  type         text        not null,
  actor_id     uuid        references public.thinkers (id) on delete restrict,
  subject_type text,
  subject_id   text,
  meta         jsonb       not null default '{}',
  created_at   timestamptz not null default now(),

  constraint event_type_is_not_empty check (type <> ''),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint subject_has_type_and_id check ((subject_type is null) = (subject_id is null)),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at)),

  primary key (id, created_at)
)
partition by range (created_at);

comment on table public.events is
  'The log of what happened (specification, 2.1). Written by triggers only, in the transaction of what they log. '
  'A partition a month of UTC, made by private.make_event_partitions, dropped by private.drop_old_event_partitions.';
comment on column public.events.type is 'What happened: voucher.book, transfer.logged.';
comment on column public.events.subject_type is
  'The kind of thing it happened to: voucher, voucher_booking, room, contract, transfer, mortgage_application, ...';
comment on column public.events.meta is 'What a reader of the log needs; no tokens, no account numbers.';

-- with what figures count, which then need not read the events themselves
create index events_created_at_idx on public.events (created_at desc, id desc) include (type, actor_id);
create index events_actor_id_idx on public.events (actor_id);
create index events_subject_idx on public.events (subject_type, subject_id);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
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

-- for each row too, because only such triggers pass on to the partitions; these get one against truncate when they are made
create trigger tg_events__refuse_row
before update or delete on public.events
for each row execute function private.tg_append_only__refuse();

create trigger tg_events__refuse
before update or delete or truncate on public.events
for each statement execute function private.tg_append_only__refuse();
