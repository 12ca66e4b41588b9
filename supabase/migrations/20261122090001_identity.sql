-- Nothing is granted that a file of this folder does not grant by name: Supabase's generous defaults
-- (everything in public to anon, authenticated and service_role) end here, and PostgreSQL's own
-- (functions executable by everybody) with them.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;

create schema private;

comment on schema private is
  'Helpers and triggers. Never exposed by the Data API; a role may execute only what is granted to it by name.';

grant usage on schema private to service_role;

create function public.ping()
returns boolean
language sql
stable
set search_path = ''
as $$
  select true
$$;

comment on function public.ping is 'True: the database answers, and lets the caller in (GET /health).';

grant execute on function public.ping to anon, authenticated, service_role;

create function private.iso(moment timestamptz)
returns text
language sql
stable
strict
set search_path = ''
as $$
  select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

comment on function private.iso is 'A time as the legacy API writes it: ISO 8601 with milliseconds and Z.';

create function private.check_json(value jsonb)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- what is stored is read by clients whose parsers have limits: one row must never spoil a list
  if octet_length(value::text) > 4194304
    or jsonb_path_exists(value, '$.**{63}')
    or jsonb_path_exists(
      value, '$.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))'
    ) then
    raise sqlstate 'PT400' using message = 'json_unreasonable';
  end if;
  return true;
end;
$$;

comment on function private.check_json is
  'True for JSON of at most 63 levels and 4 MiB, with numbers within the range of a double; for check constraints. '
  'Refuses: json_unreasonable (400).';

create function private.in_calendar(variadic moments timestamptz[])
returns boolean
language sql
immutable
set search_path = ''
as $$
  select coalesce(
    bool_and(moment >= '0001-01-01 00:00:00+00' and moment < '10000-01-01 00:00:00+00'), true
  )
  from unnest(moments) as moment
$$;

comment on function private.in_calendar is
  'True when every given time is within the years 1 to 9999, which clients can read, or null; for check constraints.';

create function private.new_suffix()
returns text
language sql
volatile
set search_path = ''
as $$
  -- the middle of a UUID of version 4 holds the version's and the variant's fixed bits: take both ends
  select left(hex, 12) || right(hex, 8)
  from (select replace(gen_random_uuid()::text, '-', '') as hex) uuid
$$;

comment on function private.new_suffix is '20 hex digits (80 bits) from a secure source: the part of a generated id that nobody can guess.';

create function private.new_id(prefix text)
returns text
language sql
volatile
set search_path = ''
as $$
  select prefix || '-'
    || string_agg(
      substr('0123456789abcdefghijklmnopqrstuvwxyz', (ms / (36::numeric ^ place)::bigint % 36)::int + 1, 1),
      '' order by place desc
    )
    || '-' || private.new_suffix()
  from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms) moment,
    generate_series(0, 7) as place
$$;

comment on function private.new_id is
  'A new id of the legacy form <prefix>-<milliseconds in base 36>-<random>, as v-mws0ylx7-53c1...';

create function private.new_uuid()
returns uuid
language sql
volatile
set search_path = ''
as $$
  select (
    lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14)
  )::uuid
$$;

comment on function private.new_uuid is
  'A new UUID of version 7: its first 48 bits are milliseconds, so that ids sort by time. '
  '(PostgreSQL has uuidv7() from version 18 on; 15 is supported.)';

create function private.thinker_id(public_id text)
returns uuid
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when public_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' then public_id::uuid
    else (
      select (substr(hex, 1, 12) || '8' || substr(hex, 14, 3) || '8' || substr(hex, 18, 15))::uuid
      from (select encode(sha256(convert_to(public_id, 'UTF8')), 'hex') as hex) digest
    )
  end
$$;

comment on function private.thinker_id is
  'The id of the thinker with this public id: the public id itself where it is a UUID of version 4 (a user of Supabase '
  'Auth), else its SHA-256 shaped as a UUID of version 8, so that no two public ids share an id. The same rule stands in '
  'api/identity.py.';

create table public.thinkers (
  id          uuid        primary key,
  public_id   text        not null unique,
  created_at  timestamptz not null default now(),
  meta        jsonb       not null default '{}',
  roles       text[]      not null default '{}',
  verified_at timestamptz,

  constraint id_follows_from_public_id check (id = private.thinker_id(public_id)),
  constraint public_id_has_1_to_255_characters check (char_length(public_id) between 1 and 255),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint roles_are_known check (roles <@ array['lender', 'notary', 'admin']),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, verified_at))
);

comment on table public.thinkers is 'Everybody who acts or is acted for (specification, 1.1).';
comment on column public.thinkers.public_id is
  'The uid that the portal uses: thinker-<12 hex> derived from a token, a browser''s own uid, or the id of a Supabase Auth user.';
comment on column public.thinkers.meta is 'Optional profile.';
comment on column public.thinkers.roles is 'What a thinker may do beyond its own affairs: lender, notary, admin.';
comment on column public.thinkers.verified_at is 'When the thinker last proved its token at /api/presence/verify.';

alter table public.thinkers enable row level security;

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

alter table public.rooms enable row level security;

create table public.presence_sessions (
  id           uuid        primary key default private.new_uuid(),
  thinker_id   uuid        not null unique references public.thinkers (id) on delete cascade,
  pair_code    text,
  status       text        not null default 'online',
  room_id      text,
  last_seen_at timestamptz not null default now(),
  created_at   timestamptz not null default now(),

  constraint presence_status_is_valid check (status in ('online', 'offline')),
  constraint pair_code_has_1_to_255_characters check (char_length(pair_code) between 1 and 255),
  constraint a_room_belongs_to_a_pair_code check (room_id is null or pair_code is not null),
  constraint times_are_in_the_calendar check (private.in_calendar(last_seen_at, created_at))
);

comment on table public.presence_sessions is
  'Who is there, one row a thinker (specification, 1.1). Written by verify_presence, send_heartbeat and match_presence.';
comment on column public.presence_sessions.pair_code is 'The keyword by which two thinkers find each other (projekt_alpha, familie).';
comment on column public.presence_sessions.room_id is 'The room of this pair code; forgotten when the pair code changes.';

create index presence_sessions_pair_code_idx on public.presence_sessions (pair_code) where status = 'online';

alter table public.presence_sessions enable row level security;

grant select on public.presence_sessions to service_role;

create function private.thinker_of(uid text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := private.thinker_id(uid);
begin
  if uid is null then
    return null;
  end if;
  if char_length(uid) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'uid_invalid';
  end if;
  if not exists (select from public.thinkers t where t.id = thinker) then
    insert into public.thinkers (id, public_id) values (thinker, uid) on conflict do nothing;
  end if;
  return thinker;
end;
$$;

comment on function private.thinker_of is
  'The id of the thinker with this uid, who is made on first sight; null for null. Refuses: uid_invalid (400).';

create function private.acting_thinker()
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := auth.uid();
  claimed text := auth.jwt() ->> 'public_id';
begin
  case
    when private.thinker_id(claimed) = thinker then
      return private.thinker_of(claimed);
    -- the token of a Supabase Auth user names no public id: the user's id is the public id
    when private.thinker_id(thinker::text) = thinker then
      return private.thinker_of(thinker::text);
    when exists (select from public.thinkers t where t.id = thinker) then
      return thinker;
    else
      raise sqlstate 'PT401' using message = 'not_signed_in';
  end case;
end;
$$;

comment on function private.acting_thinker is
  'The id of the thinker who acts: auth.uid(), made on first sight. Refuses: not_signed_in (401), uid_invalid (400).';

create function private.uid_of(thinker uuid)
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select t.public_id from public.thinkers t where t.id = thinker
$$;

comment on function private.uid_of is 'The public id of a thinker, which is what the portal calls a uid.';

grant execute on function private.uid_of to service_role;

create function private.is_service()
returns boolean
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.role() = 'service_role', false)
$$;

comment on function private.is_service is
  'True when a trusted server asks (the JWT''s role is service_role): it may act where the legacy API asked nobody''s leave.';

create function private.may_act_as(role text)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select private.is_service()
    or exists (select from public.thinkers t where t.id = auth.uid() and may_act_as.role = any (t.roles))
$$;

comment on function private.may_act_as is
  'True for a trusted server and for an actor with that role (lender, notary, admin).';

create function public.verify_presence()
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  update public.thinkers t set verified_at = now() where t.id = thinker;

  insert into public.presence_sessions (thinker_id) values (thinker) on conflict (thinker_id) do nothing;

  select * into session from public.presence_sessions s where s.thinker_id = thinker;

  return jsonb_build_object('thinker_uid', private.uid_of(thinker), 'pair_code', session.pair_code);
end;
$$;

comment on function public.verify_presence is
  'Notes that the acting thinker proved its token; the first time it also comes online. A later call changes neither '
  'its status nor when it was last seen. Returns {thinker_uid, pair_code}. Refuses: not_signed_in (401).';

grant execute on function public.verify_presence to authenticated;

create function public.send_heartbeat(pair_code text default null, status text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  if char_length(send_heartbeat.pair_code) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'pair_code_invalid';
  end if;

  insert into public.presence_sessions as s (thinker_id, pair_code, status)
  values (
    thinker,
    send_heartbeat.pair_code,
    case when coalesce(send_heartbeat.status, 'online') = 'online' then 'online' else 'offline' end
  )
  on conflict (thinker_id) do update
  set pair_code = coalesce(excluded.pair_code, s.pair_code),
      status = case when send_heartbeat.status is null then s.status else excluded.status end,
      room_id = case when excluded.pair_code <> s.pair_code then null else s.room_id end,
      last_seen_at = now()
  returning * into session;

  return to_jsonb(session);
end;
$$;

comment on function public.send_heartbeat is
  'Says that the acting thinker is there. What is left out (null) keeps its value. Any status but online counts as offline: '
  'such a thinker is not matched. Returns the session. Refuses: not_signed_in (401), pair_code_invalid (400).';

grant execute on function public.send_heartbeat to authenticated;

create function public.match_presence(pair_code text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := private.acting_thinker();
  present uuid[];
  room    text;
begin
  -- thinkers who match at the same time, whoever comes first, find the room that the first one made
  perform pg_advisory_xact_lock(hashtextextended('match_presence:' || match_presence.pair_code, 0));

  select array_agg(s.thinker_id), (array_agg(s.room_id order by s.created_at) filter (where s.room_id is not null))[1]
  into present, room
  from public.presence_sessions s
  where s.pair_code = match_presence.pair_code
    and s.status = 'online'
    and s.last_seen_at >= now() - interval '60 seconds';

  if thinker = any (present) and cardinality(present) >= 2 then
    if room is null then
      room := 'room-' || match_presence.pair_code || '-' || private.new_suffix();
      insert into public.rooms (id, type, owner_id, meta)
      values (room, 'mixed', thinker, jsonb_build_object('source', 'presence', 'pair_code', match_presence.pair_code));
    end if;
    update public.presence_sessions s
    set room_id = room
    where s.thinker_id = any (present)
      and s.pair_code = match_presence.pair_code
      and s.room_id is distinct from room;
  else
    room := null;
  end if;

  return jsonb_build_object('room_id', room);
end;
$$;

comment on function public.match_presence is
  'Finds the room of the acting thinker and whoever else is online with the same pair code and was seen in the last 60 seconds; '
  'makes it when it is missing. Returns {room_id}, null when the caller is not online with that code or is alone. '
  'Refuses: not_signed_in (401).';

grant execute on function public.match_presence to authenticated;

create function public.list_presence()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(to_jsonb(s) || jsonb_build_object('thinker_uid', private.uid_of(s.thinker_id)) order by s.created_at, s.id),
    '[]'
  )
  from public.presence_sessions s
$$;

comment on function public.list_presence is 'All presence sessions, oldest first, for the operator (GET /api/presence/debug).';

grant execute on function public.list_presence to service_role;
