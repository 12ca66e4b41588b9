create table public.presence_sessions (
  id           uuid        primary key default private.new_uuid(),
  thinker_id   uuid        not null unique references public.thinkers (id) on delete cascade,
  pair_code    text        collate "C",
  room_id      text        collate "C",
  status       text        not null default 'online',
  silenced     boolean     not null default false,
  joined_at    timestamptz,
  last_seen_at timestamptz not null default now(),
  created_at   timestamptz not null default now(),

  constraint presence_status_is_valid check (status in ('online', 'offline')),
  constraint pair_code_has_1_to_255_characters check (char_length(pair_code) between 1 and 255),
  constraint room_id_has_1_to_600_characters check (char_length(room_id) between 1 and 600),
  constraint a_room_belongs_to_a_pair_code check (room_id is null or pair_code is not null),
  constraint times_are_in_the_calendar check (
    least(joined_at, last_seen_at, created_at) >= '0001-01-01 00:00:00+00'
    and greatest(joined_at, last_seen_at, created_at) < '10000-01-01 00:00:00+00'
  ),
  constraint a_room_is_joined check (joined_at is null or room_id is not null),
  constraint silenced_session_is_offline check (not silenced or status = 'offline')
);

comment on table public.presence_sessions is
  'Whether a thinker is online, one row a thinker. Written by verify_presence, send_heartbeat, match_presence '
  'and join_room.';
comment on column public.presence_sessions.pair_code is
  'The keyword by which thinkers find each other (projekt_alpha, familie).';
comment on column public.presence_sessions.room_id is
  'The room of this pair code; set to null when the pair code changes.';
comment on column public.presence_sessions.silenced is
  'True if a job set the status to offline after a minute without a heartbeat; the next heartbeat sets it to online '
  'again.';

comment on column public.presence_sessions.joined_at is
  'When the thinker joined the chat of this room, not counting what follows within a minute; null before.';

create index presence_sessions_room_id_idx on public.presence_sessions (room_id);
create index presence_sessions_pair_code_idx on public.presence_sessions (pair_code) where status = 'online';

-- no planner statistics, see 10_core/privileges.sql
alter table public.presence_sessions
  alter column pair_code set statistics 0,
  alter column room_id set statistics 0;

alter table public.presence_sessions enable row level security;

grant select on public.presence_sessions to service_role, authenticated;

create policy "thinkers see themselves and the others in their room"
  on public.presence_sessions
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or room_id = (select private.my_room())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.presence_sessions
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));
