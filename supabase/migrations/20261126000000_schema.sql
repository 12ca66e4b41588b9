-- Generated from sql/ by `make migration`. Do not edit.

-- sql/10_core/private.sql
-- functions may call functions of later files
set check_function_bodies = off;

create schema private;

comment on schema private is
  'Helpers and triggers. Never exposed by the Data API; a role may execute only what is granted to it by name.';

grant usage on schema private to service_role, authenticated;

-- sql/10_core/privileges.sql
-- Nothing is granted that a file of this folder does not grant by name: Supabase's generous defaults
-- (everything in public to anon, authenticated and service_role) end here, and PostgreSQL's own
-- (functions executable by everybody) with them.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;

-- sql/10_core/tables/settings.sql
create table private.settings (
  only_row            boolean  primary key default true,
  time_zone           text     not null default 'Europe/Berlin',
  settles_on_schedule boolean  not null default false,
  events_kept         interval not null default '13 months',

  constraint there_is_one_row check (only_row),
  constraint time_zone_is_known check (timestamptz 'epoch' at time zone time_zone is not null),
  constraint events_are_kept_for_a_month_to_a_millennium check (events_kept between interval '1 month' and interval '1000 years')
);

comment on table private.settings is
  'What an operator decides for the whole portal, in one row: update private.settings set settles_on_schedule = true.';
comment on column private.settings.time_zone is 'Where days and months begin, for periods of settlements and for figures by day.';
comment on column private.settings.settles_on_schedule is
  'Whether the scheduled job makes settlements (specification, 4.5: fees are switched on in layers). By hand it always works.';
comment on column private.settings.events_kept is 'How long events are kept; older ones go by whole months.';

alter table private.settings enable row level security;

grant select on private.settings to service_role;

insert into private.settings default values;

-- sql/10_core/functions/check_json.sql
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

-- sql/10_core/functions/in_calendar.sql
create function private.in_calendar(variadic moments timestamptz[])
returns boolean
language plpgsql -- which keeps the plan for the next one
immutable
set search_path = ''
as $$
begin
  return (
    '0001-01-01 00:00:00+00' <= all (in_calendar.moments) and '10000-01-01 00:00:00+00' > all (in_calendar.moments)
  ) is not false;
end;
$$;

comment on function private.in_calendar is
  'True when every given time is within the years 1 to 9999, which clients can read, or null; for check constraints.';

-- sql/10_core/functions/iso.sql
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

-- sql/10_core/functions/new_id.sql
create function private.new_id(prefix text)
returns text
language plpgsql -- which keeps the plan for the next one
volatile
set search_path = ''
as $$
begin
  return (
    select prefix || '-'
      || string_agg(
        substr('0123456789abcdefghijklmnopqrstuvwxyz', (ms / (36::numeric ^ place)::bigint % 36)::int + 1, 1),
        '' order by place desc
      )
      || '-' || private.new_suffix()
    from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms) moment,
      generate_series(0, 7) as place
  );
end;
$$;

comment on function private.new_id is
  'A new id of the legacy form <prefix>-<milliseconds in base 36>-<random>, as v-mws0ylx7-53c1...';

-- sql/10_core/functions/new_suffix.sql
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

-- sql/10_core/functions/new_uuid.sql
create function private.new_uuid()
returns uuid
language plpgsql -- which keeps the plan for the next one
volatile
set search_path = ''
as $$
begin
  return (
    lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14)
  )::uuid;
end;
$$;

comment on function private.new_uuid is
  'A new UUID of version 7: its first 48 bits are milliseconds, so that ids sort by time. '
  '(PostgreSQL has uuidv7() from version 18 on; 15 is supported.)';

-- sql/10_core/functions/ping.sql
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

-- sql/10_core/functions/thinker_id.sql
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

-- sql/10_core/triggers/tg_append_only__refuse.sql
create function private.tg_append_only__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using
    message = 'append_only',
    detail = format('%s of %I: what happened is kept as it was written', lower(tg_op), tg_table_name);
end;
$$;

comment on function private.tg_append_only__refuse is
  'Refuses to change a table of what happened, whoever asks, its owner too: append_only (403).';

-- sql/15_access/held_vouchers.sql
create function private.held_vouchers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select v.id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.id from public.vouchers v where v.issued_to = auth.uid();
  return query select b.voucher_id from public.voucher_bookings b where b.holder_id = auth.uid() and b.status = 'booked';
end;
$$;

comment on function private.held_vouchers is
  'The vouchers of which the actor is a holder: those issued to it, and those of which it has an appointment. May repeat them.';

grant execute on function private.held_vouchers to authenticated;

-- sql/15_access/is_operator.sql
create function private.is_operator()
returns boolean
language sql
stable
set search_path = ''
as $$
  select pg_has_role(
    coalesce(nullif(current_setting('role'), 'none'), session_user),
    (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'private'),
    'usage'
  )
$$;

comment on function private.is_operator is
  'True in a session of the schema''s owner (psql, Studio''s SQL editor, pg_cron, the command line), which could do everything '
  'anyway; false where it has taken the role of a caller, as every request does.';

grant execute on function private.is_operator to authenticated, service_role;

-- sql/15_access/is_service.sql
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

-- sql/15_access/may_act_as.sql
create function private.may_act_as(role text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return private.is_service()
    or exists (select from public.thinkers t where t.id = auth.uid() and may_act_as.role = any (t.roles))
    -- app_metadata is what only a server can write into a user of Supabase Auth
    or coalesce(auth.jwt() -> 'app_metadata' ->> 'role' = may_act_as.role, false)
    or coalesce(auth.jwt() -> 'app_metadata' -> 'roles' @> to_jsonb(may_act_as.role), false);
end;
$$;

comment on function private.may_act_as is
  'True for a trusted server, for an actor with that role (lender, notary, admin), and for a JWT whose app_metadata names it '
  '(role, or one of roles).';

grant execute on function private.may_act_as to authenticated, service_role;

-- sql/15_access/my_contacts.sql
create function private.my_contacts()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  -- whoever acted towards the actor; to name somebody (as a voucher's holder, say) shows nothing of them
  return query select v.issuer_id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.issuer_id from public.vouchers v where v.issued_to = auth.uid();
  return query select b.issuer_id from public.voucher_bookings b where b.holder_id = auth.uid();
  return query select b.holder_id from public.voucher_bookings b where b.issuer_id = auth.uid();
  return query select s.thinker_id from public.presence_sessions s where s.room_id = private.my_room();
  return query
    select party.id
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id)
    where o.id in (select private.my_offers());
  if private.may_act_as('lender') then
    return query select a.borrower_id from public.mortgage_applications a where a.status in ('open', 'offered');
  end if;
  if private.may_act_as('notary') then
    return query
      select party.id
      from public.mortgage_contracts c
      join public.mortgage_offers o on o.id = c.offer_id
      join public.mortgage_applications a on a.id = o.application_id
      cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id);
  end if;
end;
$$;

comment on function private.my_contacts is
  'The thinkers that a shared voucher, room or mortgage shows to the actor; for lenders and notaries also those whom their work '
  'concerns. May repeat them.';

grant execute on function private.my_contacts to authenticated;

-- sql/15_access/my_contract_links.sql
create function private.my_contract_links()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
    select l.id from public.contracts c join public.contract_links l on l.contract_id = c.id where c.created_by = auth.uid();
  return query
    select l.id from public.vouchers v join public.contract_links l on l.voucher_id = v.id where v.issuer_id = auth.uid();
  -- a voucher may have several holders, at once or one after the other: each sees what its issuer laid there before
  -- anybody had an appointment, or while nobody but this holder had one; never what another holder did
  return query
    select l.id
    from public.vouchers v
    join public.contract_links l on l.voucher_id = v.id
    join public.contracts c on c.id = l.contract_id
    cross join lateral (
      select
        min(b.created_at) as first_booked,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id = auth.uid()) as mine,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id <> auth.uid()) as others
      from public.voucher_bookings b
      where b.voucher_id = v.id
    ) appointments
    where v.id in (select private.held_vouchers())
      and c.created_by = v.issuer_id
      and (v.issued_to is null or v.issued_to = auth.uid())
      and (
        appointments.first_booked is null
        or appointments.first_booked > l.created_at
        or v.issued_to = auth.uid()
        or coalesce(appointments.mine @> l.created_at, false)
      )
      and not coalesce(appointments.others @> l.created_at, false);
  return query select l.id from public.contract_links l where l.room_id in (select private.my_rooms());
end;
$$;

comment on function private.my_contract_links is
  'The links of documents that the actor may see: those of its own documents, those to vouchers that it issued or holds and to '
  'its rooms. May repeat them.';

grant execute on function private.my_contract_links to authenticated;

-- sql/15_access/my_contracts.sql
create function private.my_contracts()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select c.id from public.contracts c where c.created_by = auth.uid();
  return query select l.contract_id from public.contract_links l where l.id in (select private.my_contract_links());
  return query
    select c.contract_id
    from public.mortgage_contracts c
    where c.contract_id is not null
      and (c.offer_id in (select private.my_offers()) or private.may_act_as('notary'));
end;
$$;

comment on function private.my_contracts is
  'The documents that the actor may see: those it stored, those of its links and mortgages, and for a notary those of every '
  'mortgage. May repeat them.';

grant execute on function private.my_contracts to authenticated;

-- sql/15_access/my_offers.sql
create function private.my_offers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select o.id from public.mortgage_offers o where o.lender_id = auth.uid();
  return query
    select o.id
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where a.borrower_id = auth.uid();
end;
$$;

comment on function private.my_offers is
  'The offers of which the actor is a party: those it made as lender, and those for its own applications. May repeat them.';

grant execute on function private.my_offers to authenticated;

-- sql/15_access/my_room.sql
create function private.my_room()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return (select s.room_id from public.presence_sessions s where s.thinker_id = auth.uid());
end;
$$;

comment on function private.my_room is 'The room in which the actor is present; null without one.';

grant execute on function private.my_room to authenticated;

-- sql/15_access/my_rooms.sql
create function private.my_rooms()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  -- in a room for a pair code is who is present, whoever made it
  return query
    select r.id from public.rooms r where r.owner_id = auth.uid() and r.meta ->> 'source' is distinct from 'presence';
  return query select room from private.my_room() as room where room is not null;
  return query select 'mortgage:offer:' || o.id from private.my_offers() as o (id);
  return query
    select 'mortgage:contract:' || c.id from public.mortgage_contracts c where c.offer_id in (select private.my_offers());
end;
$$;

comment on function private.my_rooms is
  'The rooms of the actor: its own, the one in which it is present, and those of the mortgages it is a party of.';

grant execute on function private.my_rooms to authenticated;

-- sql/15_access/require_admin.sql
create function private.require_admin()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not (private.may_act_as('admin') or private.is_operator()) then
    raise sqlstate 'PT403' using message = 'not_an_admin';
  end if;
end;
$$;

comment on function private.require_admin is
  'Lets trusted servers, admins and operators (private.is_operator) pass. Refuses: not_an_admin (403).';

grant execute on function private.require_admin to authenticated, service_role;

-- sql/20_identity/tables/thinkers.sql
create table public.thinkers (
  id          uuid        primary key,
  public_id   text        not null unique,
  roles       text[]      not null default '{}',
  meta        jsonb       not null default '{}',
  verified_at timestamptz,
  created_at  timestamptz not null default now(),

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
comment on column public.thinkers.roles is 'What a thinker may do beyond its own affairs: lender, notary, admin.';
comment on column public.thinkers.meta is 'Optional profile; contacts see it, like every column here.';
comment on column public.thinkers.verified_at is 'When the thinker last proved its token at /api/presence/verify.';

create index thinkers_created_at_idx on public.thinkers (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.thinkers
  alter column public_id set statistics 0;

alter table public.thinkers enable row level security;

grant select on public.thinkers to service_role, authenticated;

create policy "thinkers see themselves and whom they have to do with"
  on public.thinkers
  for select
  to authenticated
  using (
    id = (select auth.uid())
    or id in (select private.my_contacts())
    or (select private.may_act_as('admin'))
  );

-- sql/20_identity/functions/acting_thinker.sql
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

-- sql/20_identity/functions/known_actor.sql
create function private.known_actor()
returns uuid
language sql
stable
set search_path = ''
as $$
  select t.id from public.thinkers t where t.id = auth.uid()
$$;

comment on function private.known_actor is
  'The id of the thinker who acts, for the log; null where a server or an operator acts for nobody in particular.';

-- sql/20_identity/functions/thinker_of.sql
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

-- sql/20_identity/functions/uid_of.sql
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

grant execute on function private.uid_of to service_role, authenticated;

-- sql/20_identity/triggers/tg_users__make_thinker.sql
create function private.tg_users__make_thinker()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.thinkers (id, public_id)
  select new.id, new.id::text
  -- an imported user whose id is no UUID of version 4 cannot be a thinker, but may sign up all the same
  where private.thinker_id(new.id::text) = new.id
  on conflict do nothing;
  return null;
end;
$$;

comment on function private.tg_users__make_thinker is 'A new user of Supabase Auth is a thinker with the same id.';

-- a plain PostgreSQL has no users
do $$
begin
  if to_regclass('auth.users') is not null then
    create trigger tg_users__make_thinker
    after insert on auth.users
    for each row execute function private.tg_users__make_thinker();
  end if;
end;
$$;

-- sql/25_idempotency/tables/idempotency_keys.sql
create table private.idempotency_keys (
  actor       text        not null,
  key         text        not null,
  fingerprint bytea       not null,
  answer      jsonb       not null,
  created_at  timestamptz not null default now(),

  primary key (actor, key),
  constraint key_has_1_to_255_characters check (char_length(key) between 1 and 255),
  constraint fingerprint_is_a_sha256 check (octet_length(fingerprint) = 32)
);

comment on table private.idempotency_keys is
  'What was answered to a request that carried an idempotency key, written in the transaction of its effect and good for 24 '
  'hours. Written by keep_answer, read by first_answer.';
comment on column private.idempotency_keys.actor is
  'Whose key it is: the id of the thinker who acts, or the role of who acts for nobody in particular.';
comment on column private.idempotency_keys.fingerprint is 'SHA-256 of the function and its arguments.';

create index idempotency_keys_created_at_idx on private.idempotency_keys (created_at);

alter table private.idempotency_keys enable row level security;

-- sql/25_idempotency/functions/first_answer.sql
create function private.first_answer(key text, request jsonb)
returns jsonb
language plpgsql
strict -- without a key there is nothing to look up
set search_path = ''
as $$
declare
  whose text := private.key_owner();
  kept  private.idempotency_keys;
begin
  if char_length(first_answer.key) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'idempotency_key_invalid';
  end if;

  -- held until the end of the transaction that has the effect: whoever gets it next sees what was kept
  if not pg_try_advisory_xact_lock(hashtextextended('idempotency_key:' || whose || ':' || first_answer.key, 0)) then
    raise sqlstate 'PT409' using message = 'request_in_progress';
  end if;

  select * into kept
  from private.idempotency_keys k
  where k.actor = whose
    and k.key = first_answer.key
    and k.created_at > now() - interval '24 hours';

  if kept.fingerprint <> sha256(convert_to(first_answer.request::text, 'UTF8')) then
    raise sqlstate 'PT422' using message = 'idempotency_key_reused';
  end if;
  return kept.answer;
end;
$$;

comment on function private.first_answer is
  'What the actor''s first request with this idempotency key was answered, within 24 hours; null where this is the first, or '
  'has no key. request is the function and its arguments, as they are the same each time it is sent. A refused request '
  'keeps nothing. Refuses: idempotency_key_invalid (400: 1 to 255 characters); request_in_progress (409); '
  'idempotency_key_reused (422), for another request.';

-- sql/25_idempotency/functions/keep_answer.sql
create function private.keep_answer(key text, request jsonb, answer jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if keep_answer.key is not null then
    insert into private.idempotency_keys as k (actor, key, fingerprint, answer)
    values (
      private.key_owner(),
      keep_answer.key,
      sha256(convert_to(keep_answer.request::text, 'UTF8')),
      keep_answer.answer
    )
    -- one of more than 24 hours ago, or first_answer would have found it
    on conflict on constraint idempotency_keys_pkey do update
    set fingerprint = excluded.fingerprint, answer = excluded.answer, created_at = excluded.created_at;
  end if;
  return keep_answer.answer;
end;
$$;

comment on function private.keep_answer is
  'Keeps the answer to a request that carries an idempotency key, for first_answer; returns it.';

-- sql/25_idempotency/functions/key_owner.sql
create function private.key_owner()
returns text
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.uid()::text, auth.role(), session_user)
$$;

comment on function private.key_owner is
  'Whose an idempotency key is: the id of the thinker who acts, or the role of who acts for nobody in particular.';

-- sql/30_rate_limits/tables/request_counts.sql
create unlogged table private.request_counts (
  client         text        primary key,
  requests       integer     not null,
  window_ends_at timestamptz not null
);

comment on table private.request_counts is
  'How often a client asked in its current minute, for the rate limits of /api. Not kept over a crash. Written by count_request.';
comment on column private.request_counts.client is 'The limited route and the client''s address.';

create index request_counts_window_ends_at_idx on private.request_counts (window_ends_at);

alter table private.request_counts enable row level security;

-- sql/30_rate_limits/functions/count_request.sql
create function public.count_request(client text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  moment  timestamptz := clock_timestamp();
  counted private.request_counts;
begin
  insert into private.request_counts as c (client, requests, window_ends_at)
  values (left(count_request.client, 255), 1, moment + interval '60 seconds')
  on conflict on constraint request_counts_pkey do update
  set requests = case when c.window_ends_at > moment then c.requests + 1 else 1 end,
      window_ends_at = case when c.window_ends_at > moment then c.window_ends_at else excluded.window_ends_at end
  returning * into counted;

  -- whoever opens a window clears away some that are over: the table stays as small as there are clients
  if counted.requests = 1 then
    delete from private.request_counts c
    where c.client in (
      select o.client
      from private.request_counts o
      where o.window_ends_at < moment
      order by o.window_ends_at
      limit 10
      for update skip locked
    );
  end if;

  return jsonb_build_object(
    'requests', counted.requests,
    'seconds_left', ceil(extract(epoch from counted.window_ends_at - moment))::int
  );
end;
$$;

comment on function public.count_request is
  'Counts a request of a client (a route and an address) in its window of 60 seconds, which the first request opens; exactly, '
  'however many servers count. Returns {requests, seconds_left}.';

grant execute on function public.count_request to service_role;

-- sql/35_presence/tables/presence_sessions.sql
create table public.presence_sessions (
  id           uuid        primary key default private.new_uuid(),
  thinker_id   uuid        not null unique references public.thinkers (id) on delete cascade,
  pair_code    text,
  room_id      text,
  status       text        not null default 'online',
  silenced     boolean     not null default false,
  last_seen_at timestamptz not null default now(),
  created_at   timestamptz not null default now(),

  constraint presence_status_is_valid check (status in ('online', 'offline')),
  constraint pair_code_has_1_to_255_characters check (char_length(pair_code) between 1 and 255),
  constraint a_room_belongs_to_a_pair_code check (room_id is null or pair_code is not null),
  constraint times_are_in_the_calendar check (private.in_calendar(last_seen_at, created_at)),
  constraint who_is_silenced_is_offline check (not silenced or status = 'offline')
);

comment on table public.presence_sessions is
  'Who is there, one row a thinker (specification, 1.1). Written by verify_presence, send_heartbeat and match_presence.';
comment on column public.presence_sessions.pair_code is 'The keyword by which two thinkers find each other (projekt_alpha, familie).';
comment on column public.presence_sessions.room_id is 'The room of this pair code; forgotten when the pair code changes.';
comment on column public.presence_sessions.silenced is
  'True when a job, not the thinker, said offline after a minute of silence: the next heartbeat brings the thinker back.';

create index presence_sessions_room_id_idx on public.presence_sessions (room_id);
create index presence_sessions_pair_code_idx on public.presence_sessions (pair_code) where status = 'online';

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.presence_sessions
  alter column pair_code set statistics 0,
  alter column room_id set statistics 0;

alter table public.presence_sessions enable row level security;

grant select on public.presence_sessions to service_role, authenticated;

create policy "thinkers see themselves and whoever is in the same room"
  on public.presence_sessions
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or room_id = (select private.my_room())
    or (select private.may_act_as('admin'))
  );

-- sql/35_presence/tables/rooms.sql
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

-- sql/35_presence/functions/list_presence.sql
create function public.list_presence()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(
    jsonb_agg(to_jsonb(s) || jsonb_build_object('thinker_uid', private.uid_of(s.thinker_id)) order by s.created_at, s.id),
    '[]'
  )
  from public.presence_sessions s
$$;

comment on function public.list_presence is
  'All presence sessions, oldest first, for the operator (GET /api/presence/debug). Refuses: not_an_admin (403).';

grant execute on function public.list_presence to service_role, authenticated;

-- sql/35_presence/functions/match_presence.sql
create function public.match_presence(pair_code text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('match_presence', match_presence.pair_code);
  answer  jsonb := private.first_answer(match_presence.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  present uuid[];
  room    text;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(match_presence.idempotency_key, request, jsonb_build_object('room_id', room));
end;
$$;

comment on function public.match_presence is
  'Finds the room of the acting thinker and whoever else is online with the same pair code and was seen in the last 60 seconds; '
  'makes it when it is missing. Returns {room_id}, null when the caller is not online with that code or is alone. '
  'Refuses: not_signed_in (401). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.match_presence to authenticated;

-- sql/35_presence/functions/send_heartbeat.sql
create function public.send_heartbeat(
  pair_code       text default null,
  status          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('send_heartbeat', send_heartbeat.pair_code, send_heartbeat.status);
  answer  jsonb := private.first_answer(send_heartbeat.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  if answer is not null then
    return answer;
  end if;

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
      status = case
        when send_heartbeat.status is not null then excluded.status
        when s.silenced then 'online'
        else s.status
      end,
      silenced = false,
      room_id = case when excluded.pair_code <> s.pair_code then null else s.room_id end,
      last_seen_at = now()
  returning * into session;

  return private.keep_answer(send_heartbeat.idempotency_key, request, to_jsonb(session));
end;
$$;

comment on function public.send_heartbeat is
  'Says that the acting thinker is there. What is left out (null) keeps its value, but whom a job silenced is online again. Any status but online counts as offline: '
  'such a thinker is not matched. Returns the session. Refuses: not_signed_in (401), pair_code_invalid (400). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.send_heartbeat to authenticated;

-- sql/35_presence/functions/verify_presence.sql
create function public.verify_presence(idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('verify_presence');
  answer  jsonb := private.first_answer(verify_presence.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  if answer is not null then
    return answer;
  end if;

  update public.thinkers t set verified_at = now() where t.id = thinker;

  insert into public.presence_sessions (thinker_id) values (thinker) on conflict (thinker_id) do nothing;

  select * into session from public.presence_sessions s where s.thinker_id = thinker;

  return private.keep_answer(
    verify_presence.idempotency_key,
    request,
    jsonb_build_object('thinker_uid', private.uid_of(thinker), 'pair_code', session.pair_code)
  );
end;
$$;

comment on function public.verify_presence is
  'Notes that the acting thinker proved its token; the first time it also comes online. A later call changes neither '
  'its status nor when it was last seen. Returns {thinker_uid, pair_code}. Refuses: not_signed_in (401). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.verify_presence to authenticated;

-- sql/40_vouchers/tables/vouchers.sql
create table public.vouchers (
  id               text        primary key default private.new_id('v'),
  issuer_id        uuid        not null references public.thinkers (id) on delete restrict,
  holder_id        uuid        references public.thinkers (id) on delete restrict,
  issued_to        uuid        references public.thinkers (id) on delete restrict,
  service_type     text        not null default 'generic.service',
  title            text        not null default 'Unbenannter Service',
  description      text        not null default '',
  duration_minutes integer     not null default 60,
  valid_from       timestamptz not null,
  valid_until      timestamptz not null,
  allowed_slots    jsonb       not null default '[]',
  price_amount     bigint,
  price_currency   text,
  status           text        not null default 'issued',
  transferable     boolean     not null default false,
  terms            jsonb       not null default '{}',
  created_at       timestamptz not null default now(),

  constraint voucher_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint duration_is_at_most_a_year check (duration_minutes between 1 and 525600),
  constraint valid_until_is_not_before_valid_from check (valid_until >= valid_from),
  constraint times_are_in_the_calendar check (private.in_calendar(valid_from, valid_until, created_at)),
  constraint price_is_a_safe_amount check (price_amount between 0 and 9007199254740991),
  constraint price_has_amount_and_currency check ((price_amount is null) = (price_currency is null)),
  constraint price_currency_is_upper_case
    check (price_currency = upper(price_currency) and price_currency ~ '^\S{1,32}$'),
  constraint voucher_status_is_valid check (status in ('issued', 'booked', 'consumed', 'cancelled', 'expired')),
  constraint allowed_slots_is_an_array check (jsonb_typeof(allowed_slots) = 'array'),
  constraint texts_have_at_most_1_mib check (octet_length(service_type || title || description) <= 1048576),
  constraint json_is_reasonable check (private.check_json(terms) and private.check_json(allowed_slots))
);

comment on table public.vouchers is
  'A right to appointments with the issuer in a window of time (specification, 1.2). Written by issue_voucher, book_voucher and cancel_booking.';
comment on column public.vouchers.holder_id is 'Whoever booked last, while a booking is active.';
comment on column public.vouchers.issued_to is 'For whom alone the issuer meant it; null for an offer to everybody.';
comment on column public.vouchers.duration_minutes is 'How long an appointment is.';
comment on column public.vouchers.valid_from is 'Where the hourly grid of slots begins.';
comment on column public.vouchers.allowed_slots is 'Kept for the portal as it was sent; offers nothing and forbids nothing (contract, section 3).';
comment on column public.vouchers.price_amount is
  'The currency''s minor unit (cents). At most 2^53 - 1, which a JSON number holds exactly.';
comment on column public.vouchers.terms is 'Terms, the template''s id ({"template": "consulting"}), whatever the issuer agreed; any JSON.';

create index vouchers_issuer_id_idx on public.vouchers (issuer_id, created_at);
create index vouchers_holder_id_idx on public.vouchers (holder_id, created_at);
create index vouchers_issued_to_idx on public.vouchers (issued_to, created_at);
create index vouchers_created_at_idx on public.vouchers (created_at);
create index vouchers_window_idx on public.vouchers using gist (tstzrange(valid_from, valid_until));
create index vouchers_open_offers_idx
  on public.vouchers (valid_until) where status = 'issued' and holder_id is null and issued_to is null;

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.vouchers
  alter column id set statistics 0,
  alter column service_type set statistics 0,
  alter column title set statistics 0,
  alter column description set statistics 0;

alter table public.vouchers enable row level security;

grant select on public.vouchers to service_role, authenticated, anon;

create policy "issuer and holders see a voucher, everybody an open offer"
  on public.vouchers
  for select
  to authenticated
  using (
    issuer_id = (select auth.uid())
    or id in (select private.held_vouchers())
    or (status = 'issued' and holder_id is null and issued_to is null and valid_until > now())
    or (select private.may_act_as('admin'))
  );

create policy "everybody sees an open offer"
  on public.vouchers
  for select
  to anon
  using (status = 'issued' and holder_id is null and issued_to is null and valid_until > now());

-- sql/40_vouchers/tables/voucher_bookings.sql
create extension if not exists btree_gist with schema extensions;

create table public.voucher_bookings (
  id            text        primary key default private.new_id('b'),
  voucher_id    text        not null references public.vouchers (id) on delete restrict,
  issuer_id     uuid        not null references public.thinkers (id) on delete restrict,
  holder_id     uuid        not null references public.thinkers (id) on delete restrict,
  slot_start    timestamptz not null,
  slot_end      timestamptz not null,
  status        text        not null default 'booked',
  cancel_reason text,
  created_at    timestamptz not null default now(),
  cancelled_at  timestamptz,

  constraint booking_status_is_valid check (status in ('booked', 'cancelled')),
  constraint slot_ends_after_it_starts check (slot_end > slot_start),
  constraint cancelled_booking_has_a_time check ((status = 'cancelled') = (cancelled_at is not null)),
  constraint only_a_cancelled_booking_has_a_reason check (cancel_reason is null or status = 'cancelled'),
  constraint cancelled_at_is_not_before_created_at check (cancelled_at >= created_at),
  constraint cancel_reason_has_at_most_1_mib check (octet_length(cancel_reason) <= 1048576),
  constraint booking_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (private.in_calendar(slot_start, slot_end, created_at, cancelled_at)),
  constraint bookings_of_a_voucher_never_overlap
    exclude using gist (voucher_id with =, tstzrange(slot_start, slot_end) with &&) where (status = 'booked')
);

comment on table public.voucher_bookings is
  'One appointment of a voucher (specification, 1.2). Written by book_voucher and cancel_booking only; never deleted.';
comment on column public.voucher_bookings.issuer_id is 'The voucher''s issuer at the time of booking.';

-- the exclusion constraint's index holds only active bookings: look-ups by voucher, and its foreign key, need all
create index voucher_bookings_voucher_id_idx on public.voucher_bookings (voucher_id, created_at);
create index voucher_bookings_issuer_id_idx on public.voucher_bookings (issuer_id, created_at);
create index voucher_bookings_holder_id_idx on public.voucher_bookings (holder_id, created_at);
create index voucher_bookings_created_at_idx on public.voucher_bookings (created_at);
create index voucher_bookings_slot_idx on public.voucher_bookings using gist (tstzrange(slot_start, slot_end)) where status = 'booked';
create index voucher_bookings_cancelled_at_idx on public.voucher_bookings (cancelled_at) where cancelled_at is not null;

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.voucher_bookings
  alter column id set statistics 0,
  alter column voucher_id set statistics 0,
  alter column cancel_reason set statistics 0;

alter table public.voucher_bookings enable row level security;

grant select on public.voucher_bookings to service_role, authenticated;

create policy "issuer and holder see their booking"
  on public.voucher_bookings
  for select
  to authenticated
  using (
    issuer_id = (select auth.uid())
    or holder_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

-- money hangs on them
create trigger tg_voucher_bookings__refuse
before delete or truncate on public.voucher_bookings
for each statement execute function private.tg_append_only__refuse();

-- sql/40_vouchers/tables/voucher_templates.sql
create table public.voucher_templates (
  id               text    primary key,
  service_type     text    not null,
  title            text    not null,
  default_duration integer not null,
  default_terms    jsonb   not null default '{}',

  constraint default_duration_is_at_most_a_year check (default_duration between 1 and 525600),
  constraint template_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint default_terms_are_an_object check (jsonb_typeof(default_terms) = 'object')
);

comment on table public.voucher_templates is 'The portal''s templates by branch (specification, 1.2).';
comment on column public.voucher_templates.default_duration is 'Minutes.';
comment on column public.voucher_templates.default_terms is
  'What a voucher''s terms begin with; terms.template names the template, which is how the two are joined.';

alter table public.voucher_templates enable row level security;

grant select on public.voucher_templates to service_role, authenticated, anon;

create policy "everybody sees the templates"
  on public.voucher_templates
  for select
  to anon, authenticated
  using (true);

insert into public.voucher_templates (id, service_type, title, default_duration, default_terms)
values
  ('consulting', 'consulting.session', 'Beratungsgespräch', 60, '{"template": "consulting"}'),
  ('therapy', 'therapy.session', 'Therapiesitzung', 50, '{"template": "therapy"}'),
  ('viewing', 'realestate.viewing', 'Immobilienbesichtigung', 30, '{"template": "viewing"}'),
  ('machine', 'machine.rental', 'Maschinenstunde', 120, '{"template": "machine"}'),
  ('membership', 'membership.access', 'Mitgliedschaft', 60, '{"template": "membership"}');

-- sql/40_vouchers/functions/available_slots.sql
create function public.available_slots(
  voucher_id text,
  slots_from timestamptz default null,
  slots_to   timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  voucher     public.vouchers;
  first_start timestamptz;
  last_start  timestamptz;
  slots       jsonb;
begin
  select * into voucher from public.vouchers v where v.id = available_slots.voucher_id;
  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;

  first_start := least(greatest(voucher.valid_from, available_slots.slots_from), voucher.valid_until);
  -- a year at most, whatever was asked for: an answer holds no more than 8,784 slots
  last_start := least(available_slots.slots_to, first_start + interval '1 year' - interval '1 millisecond');

  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'voucher_id', voucher.id,
        'slot_start', slot,
        'slot_end', slot + make_interval(mins => voucher.duration_minutes)
      )
      order by slot
    ),
    '[]'
  )
  into slots
  from private.slots_of(voucher, first_start, last_start) as slot
  where not exists (
    select from public.voucher_bookings b
    where b.voucher_id = voucher.id
      and b.status = 'booked'
      and tstzrange(b.slot_start, b.slot_end)
        && tstzrange(slot, slot + make_interval(mins => voucher.duration_minutes))
  );

  return slots;
end;
$$;

comment on function public.available_slots is
  'The free slots of a voucher, earliest first: [{voucher_id, slot_start, slot_end}]. A slot that overlaps an active '
  'booking is left out. Lists slots that start from slots_from to slots_to (both included), one year at most; '
  'without them the first year of the voucher''s window. Refuses: voucher_not_found (404), also for one that is not open to the caller.';

grant execute on function public.available_slots to anon, authenticated, service_role;

-- sql/40_vouchers/functions/book_voucher.sql
create function public.book_voucher(voucher_id text, slot_start timestamptz, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('book_voucher', book_voucher.voucher_id, book_voucher.slot_start at time zone 'UTC');
  answer  jsonb := private.first_answer(book_voucher.idempotency_key, request);
  holder  uuid := private.acting_thinker();
  voucher public.vouchers;
  booking public.voucher_bookings;
  offered boolean := false;
begin
  if answer is not null then
    return answer;
  end if;

  select * into voucher
  from public.vouchers v
  where v.id = book_voucher.voucher_id
  for no key update;

  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if voucher.status in ('consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT409' using message = 'voucher_not_bookable', detail = voucher.status;
  end if;
  if book_voucher.slot_start between voucher.valid_from and voucher.valid_until then
    offered := exists (select from private.slots_of(voucher, book_voucher.slot_start, book_voucher.slot_start));
  end if;
  if not offered then
    raise sqlstate 'PT409' using message = 'slot_not_offered';
  end if;

  insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
  values (
    voucher.id, voucher.issuer_id, holder, book_voucher.slot_start,
    book_voucher.slot_start + make_interval(mins => voucher.duration_minutes)
  )
  returning * into booking;

  update public.vouchers v
  set status = 'booked', holder_id = holder
  where v.id = voucher.id
  returning * into voucher;

  return private.keep_answer(
    book_voucher.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
exception
  when exclusion_violation then
    raise sqlstate 'PT409' using message = 'slot_taken';
end;
$$;

comment on function public.book_voucher is
  'Books a slot of a voucher for the acting thinker. No start (null) is a slot that is not offered. '
  'Returns {booking, voucher}. Refuses: not_signed_in (401); voucher_not_found (404), also for one that is not open to the '
  'caller; voucher_not_bookable (with the status as detail), slot_not_offered, slot_taken (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.book_voucher to authenticated, service_role;

-- sql/40_vouchers/functions/booking_json.sql
create function private.booking_json(booking public.voucher_bookings)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(booking) || jsonb_build_object(
    'issuer_uid', private.uid_of(booking.issuer_id),
    'holder_uid', private.uid_of(booking.holder_id)
  )
$$;

comment on function private.booking_json is 'A booking as the functions return it: its columns, and the uids of issuer and holder.';

grant execute on function private.booking_json to service_role, authenticated;

-- sql/40_vouchers/functions/cancel_booking.sql
create function public.cancel_booking(
  booking_id      text default null,
  voucher_id      text default null,
  reason          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array(
    'cancel_booking', cancel_booking.booking_id, cancel_booking.voucher_id, cancel_booking.reason
  );
  answer  jsonb := private.first_answer(cancel_booking.idempotency_key, request);
  voucher public.vouchers;
  booking public.voucher_bookings;
  holder  uuid;
begin
  if answer is not null then
    return answer;
  end if;

  if cancel_booking.booking_id is null and cancel_booking.voucher_id is null then
    raise sqlstate 'PT400' using message = 'booking_or_voucher_required';
  end if;

  -- the voucher first, as book_voucher does: who waits here sees what the other one left
  select * into voucher
  from public.vouchers v
  where v.id = case
    when cancel_booking.booking_id is null then cancel_booking.voucher_id
    else (select b.voucher_id from public.voucher_bookings b where b.id = cancel_booking.booking_id)
  end
  for no key update;

  select * into booking
  from public.voucher_bookings b
  where b.voucher_id = voucher.id
    and case
      when cancel_booking.booking_id is not null then b.id = cancel_booking.booking_id
      -- of a voucher with several bookings, one that the caller may cancel
      else b.status = 'booked' and (private.is_service() or auth.uid() in (b.holder_id, b.issuer_id))
    end
  order by b.created_at, b.id
  limit 1;

  if not found then
    raise sqlstate 'PT404' using message = 'booking_not_found';
  end if;
  if not (private.is_service() or coalesce(auth.uid() in (booking.holder_id, booking.issuer_id), false)) then
    raise sqlstate 'PT403' using message = 'not_a_party';
  end if;

  if booking.status = 'booked' then
    update public.voucher_bookings b
    set status = 'cancelled', cancel_reason = cancel_booking.reason, cancelled_at = clock_timestamp()
    where b.id = booking.id
    returning * into booking;

    select b.holder_id into holder
    from public.voucher_bookings b
    where b.voucher_id = voucher.id and b.status = 'booked'
    order by b.created_at desc, b.id desc
    limit 1;

    update public.vouchers v
    set status = case when holder is null then 'issued' else 'booked' end, holder_id = holder
    where v.id = voucher.id and v.status = 'booked';
    select * into voucher from public.vouchers v where v.id = voucher.id;
  end if;

  return private.keep_answer(
    cancel_booking.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
end;
$$;

comment on function public.cancel_booking is
  'Cancels a booking, named by its id or as the caller''s oldest active one of a voucher; for its holder, its issuer or a trusted '
  'server. The voucher is offered again, unless another booking of it is active. A booking that is cancelled already '
  'stays as it was. Returns {booking, voucher}. Refuses: booking_or_voucher_required (400), not_a_party (403), '
  'booking_not_found (404). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.cancel_booking to authenticated, service_role;

-- sql/40_vouchers/functions/is_open_to_caller.sql
create function private.is_open_to_caller(voucher public.vouchers)
returns boolean
language sql
stable
set search_path = ''
as $$
  select private.is_service()
    or coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id, voucher.issued_to), false)
    or voucher.issued_to is null and voucher.valid_until > now() and case voucher.status
      when 'issued' then voucher.holder_id is null
      -- other slots of it may be free: they are for whoever is signed in and knows its id
      when 'booked' then auth.uid() is not null
      else false
    end
$$;

comment on function private.is_open_to_caller is
  'True when the caller may look at the slots of a voucher and book one: a trusted server, its issuer, its holder, for whom it '
  'was issued; of an open offer everybody, of one that is booked whoever is signed in and knows its id.';

-- sql/40_vouchers/functions/issue_voucher.sql
create function public.issue_voucher(
  voucher_id       text        default null,
  service_type     text        default null,
  title            text        default null,
  description      text        default null,
  duration_minutes integer     default null,
  valid_from       timestamptz default null,
  valid_until      timestamptz default null,
  allowed_slots    jsonb       default null,
  price_amount     bigint      default null,
  price_currency   text        default null,
  status           text        default null,
  holder_uid       text        default null,
  transferable     boolean     default null,
  terms            jsonb       default null,
  idempotency_key  text        default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array(
    'issue_voucher', issue_voucher.voucher_id, issue_voucher.service_type, issue_voucher.title, issue_voucher.description,
    issue_voucher.duration_minutes, issue_voucher.valid_from at time zone 'UTC',
    issue_voucher.valid_until at time zone 'UTC', issue_voucher.allowed_slots, issue_voucher.price_amount,
    issue_voucher.price_currency, issue_voucher.status, issue_voucher.holder_uid, issue_voucher.transferable,
    issue_voucher.terms
  );
  answer  jsonb := private.first_answer(issue_voucher.idempotency_key, request);
  holder  uuid := private.thinker_id(issue_voucher.holder_uid);
  voucher public.vouchers;
begin
  if answer is not null then
    return answer;
  end if;

  -- new thinkers are made in the order of their ids, so that two of these wait for each other and never in a circle
  if holder < auth.uid() then
    perform private.thinker_of(issue_voucher.holder_uid);
  end if;
  voucher.issuer_id := private.acting_thinker();
  perform private.thinker_of(issue_voucher.holder_uid);

  voucher.id := coalesce(issue_voucher.voucher_id, private.new_id('v'));
  voucher.holder_id := holder;
  voucher.issued_to := holder;
  voucher.service_type := coalesce(issue_voucher.service_type, 'generic.service');
  voucher.title := coalesce(issue_voucher.title, 'Unbenannter Service');
  voucher.description := coalesce(issue_voucher.description, '');
  voucher.duration_minutes := coalesce(issue_voucher.duration_minutes, 60);
  voucher.valid_from := date_trunc('milliseconds', coalesce(issue_voucher.valid_from, now()));
  voucher.valid_until :=
    date_trunc('milliseconds', coalesce(issue_voucher.valid_until, greatest(issue_voucher.valid_from, now())));
  voucher.allowed_slots := coalesce(issue_voucher.allowed_slots, '[]');
  voucher.price_amount := issue_voucher.price_amount;
  voucher.price_currency :=
    case when issue_voucher.price_amount is not null then upper(coalesce(issue_voucher.price_currency, 'EUR')) end;
  voucher.status := lower(coalesce(issue_voucher.status, 'issued'));
  voucher.transferable := coalesce(issue_voucher.transferable, false);
  voucher.terms := coalesce(issue_voucher.terms, '{}');
  voucher.created_at := now();

  if voucher.duration_minutes not between 1 and 525600 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if not private.in_calendar(voucher.valid_from, voucher.valid_until) then
    raise sqlstate 'PT400' using message = 'date_out_of_range';
  end if;
  if voucher.valid_until < voucher.valid_from then
    raise sqlstate 'PT400' using message = 'valid_until_before_valid_from';
  end if;
  if voucher.price_amount not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if voucher.status not in ('issued', 'booked', 'consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT400' using message = 'voucher_status_unknown';
  end if;

  insert into public.vouchers values (voucher.*) on conflict (id) do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'voucher_exists';
  end if;

  return private.keep_answer(issue_voucher.idempotency_key, request, private.voucher_json(voucher));
end;
$$;

comment on function public.issue_voucher is
  'Issues a voucher of the acting thinker. What is left out (null) gets the default of the legacy API: an hour of '
  '"Unbenannter Service", valid from now until now. price_amount is in minor units (cents), times keep milliseconds. '
  'Returns the voucher. Refuses: not_signed_in (401); duration_out_of_range, date_out_of_range, '
  'valid_until_before_valid_from, amount_out_of_range, voucher_status_unknown, uid_invalid (400); voucher_exists (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.issue_voucher to authenticated;

-- sql/40_vouchers/functions/list_bookings.sql
create function public.list_bookings(
  holder_uid text default null,
  issuer_uid text default null,
  voucher_id text default null
)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.booking_json(b) order by b.created_at desc, b.id desc), '[]')
  from public.voucher_bookings b
  where (list_bookings.holder_uid is null or b.holder_id = private.thinker_id(list_bookings.holder_uid))
    and (list_bookings.issuer_uid is null or b.issuer_id = private.thinker_id(list_bookings.issuer_uid))
    and (list_bookings.voucher_id is null or b.voucher_id = list_bookings.voucher_id)
$$;

comment on function public.list_bookings is 'The bookings that the caller may read and that fit every given filter, newest first.';

grant execute on function public.list_bookings to service_role, authenticated;

-- sql/40_vouchers/functions/list_vouchers.sql
create function public.list_vouchers(
  issuer_uid text default null,
  holder_uid text default null,
  status     text default null
)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.voucher_json(v) order by v.created_at, v.id), '[]')
  from public.vouchers v
  where (list_vouchers.issuer_uid is null or v.issuer_id = private.thinker_id(list_vouchers.issuer_uid))
    and (list_vouchers.holder_uid is null or v.holder_id = private.thinker_id(list_vouchers.holder_uid))
    and (list_vouchers.status is null or v.status = list_vouchers.status)
$$;

comment on function public.list_vouchers is 'The vouchers that the caller may read and that fit every given filter, oldest first.';

grant execute on function private.thinker_id to service_role, authenticated;
grant execute on function public.list_vouchers to service_role, authenticated;

-- sql/40_vouchers/functions/slots_of.sql
create function private.slots_of(voucher public.vouchers, slots_from timestamptz, slots_to timestamptz)
returns setof timestamptz
language sql
stable
set search_path = ''
as $$
  -- the grid begins at valid_from exactly and goes on by the hour, however long an appointment is
  select slot
  from generate_series(
    voucher.valid_from
      + make_interval(hours => greatest(0, ceil(extract(epoch from slots_from - voucher.valid_from) / 3600))::int),
    least(voucher.valid_until - make_interval(mins => voucher.duration_minutes), slots_to),
    interval '1 hour'
  ) as slot
$$;

comment on function private.slots_of is
  'The starts of a voucher''s slots between two times (both included), booked or not: the legacy grid of 60 minutes.';

-- sql/40_vouchers/functions/voucher_json.sql
create function private.voucher_json(voucher public.vouchers)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  -- of a voucher with several holders, one learns nothing of another
  if voucher.holder_id is not null
    and not coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id), false)
    and not private.may_act_as('admin') then
    voucher.holder_id := null;
  end if;

  return to_jsonb(voucher) || jsonb_build_object(
    'issuer_uid', private.uid_of(voucher.issuer_id),
    'holder_uid', private.uid_of(voucher.holder_id)
  );
end;
$$;

comment on function private.voucher_json is
  'A voucher as the functions return it: its columns, and the uids of issuer and holder; the holder to the parties, trusted '
  'servers and admins only.';

grant execute on function private.voucher_json to service_role, authenticated;

-- sql/40_vouchers/triggers/tg_voucher_bookings__keep_cancelled.sql
create function private.tg_voucher_bookings__keep_cancelled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT409' using message = 'booking_is_cancelled', detail = new.id;
end;
$$;

comment on function private.tg_voucher_bookings__keep_cancelled is
  'Refuses to make a cancelled booking active again, whoever asks: booking_is_cancelled (409). It is booked anew instead.';

create trigger tg_voucher_bookings__keep_cancelled
  before update on public.voucher_bookings
  for each row
  when (old.status = 'cancelled' and new.status <> 'cancelled')
  execute function private.tg_voucher_bookings__keep_cancelled();

-- sql/45_documents/tables/contracts.sql
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

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.contracts
  alter column name set statistics 0,
  alter column mime_type set statistics 0,
  alter column storage_url set statistics 0,
  alter column hash_sha256 set statistics 0;

alter table public.contracts enable row level security;

grant select on public.contracts to service_role, authenticated;

create policy "creators and parties see their documents"
  on public.contracts
  for select
  to authenticated
  using (
    id in (select private.my_contracts())
    or (select private.may_act_as('admin'))
  );

-- sql/45_documents/tables/contract_links.sql
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

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.contract_links
  alter column voucher_id set statistics 0,
  alter column room_id set statistics 0;

alter table public.contract_links enable row level security;

grant select on public.contract_links to service_role, authenticated;

create policy "creators and parties see the links of their documents"
  on public.contract_links
  for select
  to authenticated
  using (
    id in (select private.my_contract_links())
    or (select private.may_act_as('admin'))
  );

-- sql/45_documents/functions/check_contract_link.sql
create function public.check_contract_link(voucher_id text default null, room_id text default null)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.is_service() then
    return true;
  end if;
  if check_contract_link.voucher_id is not null and not exists (
    select from public.vouchers v where v.id = check_contract_link.voucher_id and v.issuer_id = auth.uid()
  ) and check_contract_link.voucher_id not in (select private.held_vouchers()) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if check_contract_link.room_id is not null and check_contract_link.room_id not in (select private.my_rooms()) and (
    -- a new room is the actor's own; but the rooms of mortgages are named after them, and not for others to make
    check_contract_link.room_id like 'mortgage:%'
    or exists (select from public.rooms r where r.id = check_contract_link.room_id)
  ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
  return true;
end;
$$;

comment on function public.check_contract_link is
  'Asked before a document is recorded: true when the caller may link one to this voucher and room. A thinker must be the '
  'voucher''s issuer or a holder, and in the room, if it exists; a room named mortgage:... must be one of its '
  'mortgages'' rooms. A trusted server may link anything. '
  'Refuses: voucher_not_found (404), not_your_room (403).';

grant execute on function public.check_contract_link to authenticated, service_role;

-- sql/45_documents/functions/contract_json.sql
create function private.contract_json(contract public.contracts)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(contract) || jsonb_build_object('created_by_uid', private.uid_of(contract.created_by))
$$;

comment on function private.contract_json is 'A contract as the functions return it: its columns, and the uid of its creator.';

grant execute on function private.contract_json to service_role, authenticated;

-- sql/45_documents/functions/list_contracts.sql
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

grant execute on function public.list_contracts to service_role, authenticated;

-- sql/45_documents/functions/record_contract.sql
create function public.record_contract(
  contract_id     uuid,
  name            text,
  mime_type       text,
  byte_size       bigint,
  storage_url     text,
  hash_sha256     text,
  voucher_id      text   default null,
  room_id         text   default null,
  idempotency_key text   default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request  jsonb := jsonb_build_array(
    'record_contract', record_contract.name, record_contract.mime_type, record_contract.byte_size,
    record_contract.hash_sha256, record_contract.voucher_id, record_contract.room_id
  );
  answer   jsonb := private.first_answer(record_contract.idempotency_key, request);
  creator  uuid;
  contract jsonb;
  link_id  uuid;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(
    record_contract.idempotency_key,
    request,
    jsonb_build_object('contract', contract, 'link_id', link_id)
  );
end;
$$;

comment on function public.record_contract is
  'Records a document whose bytes a trusted server has stored, and links it to a voucher, a room or both. A room that does '
  'not exist is made (type contract, owned by the actor). Returns {contract, link_id}. Refuses: voucher_not_found (404). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer. contract_id and storage_url, new with each upload, may differ.';

grant execute on function public.record_contract to service_role;

-- sql/50_mortgages/tables/properties.sql
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

-- sql/50_mortgages/tables/mortgage_applications.sql
create table public.mortgage_applications (
  id             text         primary key default private.new_id('app'),
  property_id    text         references public.properties (id) on delete restrict,
  borrower_id    uuid         not null references public.thinkers (id) on delete restrict,
  desired_loan   bigint,
  currency       text,
  duration_years integer,
  rate_type      text,
  max_interest   numeric(6,4),
  status         text         not null default 'open',
  visibility     text         not null default 'private',
  meta           jsonb        not null default '{}',
  submission_ts  timestamptz  not null default now(),
  created_at     timestamptz  not null default now(),

  constraint application_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint desired_loan_is_a_safe_amount check (desired_loan between 0 and 9007199254740991),
  constraint loan_has_amount_and_currency check ((desired_loan is null) = (currency is null)),
  constraint currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint duration_is_1_to_100_years check (duration_years between 1 and 100),
  constraint rate_type_is_valid check (rate_type in ('fixed', 'variable')),
  constraint max_interest_is_a_fraction check (max_interest between 0 and 99.9999),
  constraint application_status_is_valid check (status in ('open', 'offered', 'accepted', 'rejected')),
  constraint visibility_has_1_to_32_characters check (char_length(visibility) between 1 and 32),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, submission_ts))
);

comment on table public.mortgage_applications is
  'What a borrower asks for (specification, 1.4). Written by apply_for_mortgage, offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_applications.desired_loan is 'The currency''s minor unit (cents).';
comment on column public.mortgage_applications.max_interest is 'A fraction a year: 0.04 is 4 percent.';
comment on column public.mortgage_applications.visibility is 'As the borrower sent it (private, public); restricts nothing yet, as in the legacy API.';
comment on column public.mortgage_applications.meta is 'What else the borrower says (income, other loans); any JSON.';
comment on column public.mortgage_applications.submission_ts is 'When it was handed in; the server''s time.';

create index mortgage_applications_property_id_idx on public.mortgage_applications (property_id);
create index mortgage_applications_borrower_id_idx on public.mortgage_applications (borrower_id, created_at);
create index mortgage_applications_status_idx on public.mortgage_applications (status, created_at);
create index mortgage_applications_created_at_idx on public.mortgage_applications (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.mortgage_applications
  alter column id set statistics 0,
  alter column property_id set statistics 0;

alter table public.mortgage_applications enable row level security;

grant select on public.mortgage_applications to service_role, authenticated;

-- sql/50_mortgages/tables/mortgage_offers.sql
create table public.mortgage_offers (
  id              text         primary key default private.new_id('mort-offer'),
  application_id  text         not null references public.mortgage_applications (id) on delete restrict,
  lender_id       uuid         not null references public.thinkers (id) on delete restrict,
  interest_rate   numeric(6,4),
  monthly_payment bigint,
  loan            jsonb,
  interest        jsonb,
  repayment       jsonb,
  fees            jsonb,
  validity        jsonb,
  terms_ref       jsonb,
  room_refs       jsonb        not null,
  status          text         not null default 'open',
  created_at      timestamptz  not null default now(),

  constraint offer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint interest_rate_is_a_fraction check (interest_rate between 0 and 99.9999),
  constraint monthly_payment_is_a_safe_amount check (monthly_payment between 0 and 9007199254740991),
  constraint offer_status_is_valid check (status in ('open', 'accepted', 'withdrawn')),
  constraint json_is_reasonable check (
    private.check_json(loan) and private.check_json(interest) and private.check_json(repayment)
    and private.check_json(fees) and private.check_json(validity) and private.check_json(terms_ref)
    and private.check_json(room_refs)
  ),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.mortgage_offers is
  'What a lender offers for an application (specification, 1.4). Written by offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_offers.interest_rate is 'A fraction a year: 0.031 is 3.1 percent.';
comment on column public.mortgage_offers.monthly_payment is 'The minor unit (cents) of the application''s currency.';
comment on column public.mortgage_offers.loan is 'As the lender worded it; any JSON, like the six columns after it (contract, section 5).';
comment on column public.mortgage_offers.room_refs is 'The rooms of the negotiation: {negotiationRoomId, contractRoomId}.';

create index mortgage_offers_application_id_idx on public.mortgage_offers (application_id, created_at);
create index mortgage_offers_lender_id_idx on public.mortgage_offers (lender_id, created_at);
create index mortgage_offers_created_at_idx on public.mortgage_offers (created_at);
create unique index one_offer_of_an_application_is_accepted
  on public.mortgage_offers (application_id) where status = 'accepted';

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.mortgage_offers
  alter column id set statistics 0,
  alter column application_id set statistics 0;

alter table public.mortgage_offers enable row level security;

grant select on public.mortgage_offers to service_role, authenticated;

-- sql/50_mortgages/tables/mortgage_contracts.sql
create table public.mortgage_contracts (
  id                 text        primary key default private.new_id('mort-contract'),
  offer_id           text        not null unique references public.mortgage_offers (id) on delete restrict,
  contract_id        uuid        references public.contracts (id) on delete restrict,
  status             text        not null default 'draft',
  borrower_signed_at timestamptz,
  lender_signed_at   timestamptz,
  notary_signed_at   timestamptz,
  created_at         timestamptz not null default now(),
  updated_at         timestamptz,

  constraint mortgage_contract_status_is_valid check (status in ('draft', 'signed', 'archived')),
  constraint contract_is_a_draft_until_three_have_signed
    check ((status = 'draft') = (num_nulls(borrower_signed_at, lender_signed_at, notary_signed_at) > 0)),
  constraint signed_contract_was_updated
    check (updated_at is not null or num_nonnulls(borrower_signed_at, lender_signed_at, notary_signed_at) = 0),
  constraint mortgage_contract_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar
    check (private.in_calendar(created_at, borrower_signed_at, lender_signed_at, notary_signed_at, updated_at))
);

comment on table public.mortgage_contracts is
  'What an accepted offer becomes: one contract an offer (specification, 1.4). Written by accept_mortgage_offer and sign_mortgage_contract.';
comment on column public.mortgage_contracts.contract_id is 'The document, once there is one.';
comment on column public.mortgage_contracts.updated_at is 'Of the last signature, null before the first.';

create index mortgage_contracts_contract_id_idx on public.mortgage_contracts (contract_id);
create index mortgage_contracts_created_at_idx on public.mortgage_contracts (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.mortgage_contracts
  alter column id set statistics 0,
  alter column offer_id set statistics 0;

alter table public.mortgage_contracts enable row level security;

grant select on public.mortgage_contracts to service_role, authenticated;

-- money hangs on them
create trigger tg_mortgage_contracts__refuse
before delete or truncate on public.mortgage_contracts
for each statement execute function private.tg_append_only__refuse();

-- sql/50_mortgages/policies.sql
-- Who sees what of a mortgage: in one file, because these policies read each other's tables.

create policy "a property is seen by whoever sees an application for it"
  on public.properties
  for select
  to authenticated
  using (
    created_by = (select auth.uid())
    or exists (
      select from public.mortgage_applications a
      where a.property_id = properties.id
        -- nobody sees somebody else's house by applying for a mortgage on it
        and (a.borrower_id <> (select auth.uid()) or properties.created_by is null)
    )
    or (select private.may_act_as('admin'))
  );

create policy "borrowers, lenders and notaries see their applications"
  on public.mortgage_applications
  for select
  to authenticated
  using (
    borrower_id = (select auth.uid())
    or (status in ('open', 'offered') and (select private.may_act_as('lender')))
    -- of the offers, row level security shows a lender's own, and a notary those with a contract
    or id in (select o.application_id from public.mortgage_offers o)
    or (select private.may_act_as('admin'))
  );

create policy "parties see their offers, notaries those with a contract"
  on public.mortgage_offers
  for select
  to authenticated
  using (
    id in (select private.my_offers())
    or ((select private.may_act_as('notary')) and id in (select c.offer_id from public.mortgage_contracts c))
    or (select private.may_act_as('admin'))
  );

create policy "lender and borrower see their contracts, notaries all"
  on public.mortgage_contracts
  for select
  to authenticated
  using (
    offer_id in (select private.my_offers())
    or (select private.may_act_as('notary'))
    or (select private.may_act_as('admin'))
  );

-- sql/50_mortgages/functions/accept_mortgage_offer.sql
create function public.accept_mortgage_offer(offer_id text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request     jsonb := jsonb_build_array('accept_mortgage_offer', accept_mortgage_offer.offer_id);
  answer      jsonb := private.first_answer(accept_mortgage_offer.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
  offer       public.mortgage_offers;
  contract    public.mortgage_contracts;
begin
  if answer is not null then
    return answer;
  end if;

  -- the application first: two offers of one application are accepted one after the other
  select a.* into application
  from public.mortgage_applications a
  where a.id = (select o.application_id from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id)
  for no key update;

  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;

  if not found then
    raise sqlstate 'PT404' using message = 'offer_not_found';
  end if;
  if application.borrower_id <> borrower then
    raise sqlstate 'PT403' using message = 'not_the_offers_borrower';
  end if;
  if offer.status <> 'open' then
    raise sqlstate 'PT409' using message = 'offer_not_open', detail = offer.status;
  end if;

  update public.mortgage_offers o
  set status = case when o.id = offer.id then 'accepted' else 'withdrawn' end
  where o.application_id = application.id and o.status = 'open';
  update public.mortgage_applications a set status = 'accepted' where a.id = application.id;

  insert into public.mortgage_contracts (offer_id) values (offer.id) returning * into contract;
  insert into public.rooms (id, type, owner_id, meta)
  values (
    'mortgage:contract:' || contract.id, 'contract', borrower,
    jsonb_build_object('source', 'mortgage', 'mortgage_contract_id', contract.id)
  )
  on conflict (id) do update set owner_id = excluded.owner_id;

  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;
  return private.keep_answer(
    accept_mortgage_offer.idempotency_key,
    request,
    jsonb_build_object(
      'contract', private.mortgage_contract_json(contract),
      'offer', private.offer_json(offer)
    )
  );
end;
$$;

comment on function public.accept_mortgage_offer is
  'Accepts an offer as its borrower: the application is accepted, its other offers are withdrawn, and a contract with its '
  'room is made. Returns {contract, offer}. Refuses: not_signed_in (401), not_the_offers_borrower (403), offer_not_found (404), '
  'offer_not_open (409, with the status as detail). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.accept_mortgage_offer to authenticated;

-- sql/50_mortgages/functions/application_json.sql
create function private.application_json(application public.mortgage_applications)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(application) || jsonb_build_object('borrower_uid', private.uid_of(application.borrower_id))
$$;

comment on function private.application_json is 'An application as the functions return it: its columns, and the borrower''s uid.';

-- sql/50_mortgages/functions/apply_for_mortgage.sql
create function public.apply_for_mortgage(
  application_id  text    default null,
  property_id     text    default null,
  desired_loan    bigint  default null,
  currency        text    default null,
  duration_years  integer default null,
  rate_type       text    default null,
  max_interest    numeric default null,
  status          text    default null,
  visibility      text    default null,
  meta            jsonb   default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request     jsonb := jsonb_build_array(
    'apply_for_mortgage', apply_for_mortgage.application_id, apply_for_mortgage.property_id,
    apply_for_mortgage.desired_loan, apply_for_mortgage.currency, apply_for_mortgage.duration_years,
    apply_for_mortgage.rate_type, apply_for_mortgage.max_interest, apply_for_mortgage.status,
    apply_for_mortgage.visibility, apply_for_mortgage.meta
  );
  answer      jsonb := private.first_answer(apply_for_mortgage.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
begin
  if answer is not null then
    return answer;
  end if;

  if apply_for_mortgage.desired_loan not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if apply_for_mortgage.duration_years not between 1 and 100 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if lower(apply_for_mortgage.rate_type) not in ('fixed', 'variable') then
    raise sqlstate 'PT400' using message = 'rate_type_unknown';
  end if;
  if lower(apply_for_mortgage.status) not in ('open', 'offered', 'accepted', 'rejected') then
    raise sqlstate 'PT400' using message = 'application_status_unknown';
  end if;
  perform private.check_interest(apply_for_mortgage.max_interest);

  insert into public.properties (id, created_by)
  select apply_for_mortgage.property_id, borrower
  where apply_for_mortgage.property_id is not null
  on conflict (id) do nothing;

  insert into public.mortgage_applications (
    id, property_id, borrower_id, desired_loan, currency, duration_years, rate_type, max_interest, status, visibility, meta
  )
  values (
    coalesce(apply_for_mortgage.application_id, private.new_id('app')),
    apply_for_mortgage.property_id,
    borrower,
    apply_for_mortgage.desired_loan,
    case when apply_for_mortgage.desired_loan is not null then upper(coalesce(apply_for_mortgage.currency, 'EUR')) end,
    apply_for_mortgage.duration_years,
    lower(apply_for_mortgage.rate_type),
    apply_for_mortgage.max_interest,
    lower(coalesce(apply_for_mortgage.status, 'open')),
    coalesce(apply_for_mortgage.visibility, 'private'),
    coalesce(apply_for_mortgage.meta, '{}')
  )
  on conflict (id) do nothing
  returning * into application;
  if not found then
    raise sqlstate 'PT409' using message = 'application_exists';
  end if;

  return private.keep_answer(apply_for_mortgage.idempotency_key, request, private.application_json(application));
end;
$$;

comment on function public.apply_for_mortgage is
  'Hands in the acting thinker''s application for a mortgage; an unknown property is noted. desired_loan is in minor units '
  '(cents), max_interest a fraction. Returns the application. Refuses: not_signed_in (401); amount_out_of_range, '
  'duration_out_of_range, rate_type_unknown, application_status_unknown, interest_out_of_range (400); application_exists (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.apply_for_mortgage to authenticated;

-- sql/50_mortgages/functions/check_interest.sql
create function private.check_interest(rate numeric)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- numeric(6,4) would round a fifth decimal away: nobody's interest rate is changed silently
  if rate not between 0 and 99.9999 or rate <> round(rate, 4) then
    raise sqlstate 'PT400' using message = 'interest_out_of_range';
  end if;
end;
$$;

comment on function private.check_interest is
  'Passes a fraction from 0 to 99.9999 with at most four decimals, and null. Refuses: interest_out_of_range (400).';

-- sql/50_mortgages/functions/list_mortgage_applications.sql
create function public.list_mortgage_applications(role text default 'borrower')
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if coalesce(list_mortgage_applications.role, '') not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_applications.role = 'lender' and not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'not_a_lender';
  end if;

  return (
    select coalesce(jsonb_agg(private.application_json(a) order by a.created_at, a.id), '[]')
    from public.mortgage_applications a
    where case list_mortgage_applications.role
      when 'borrower' then a.borrower_id = auth.uid()
      else a.status in ('open', 'offered')
    end
  );
end;
$$;

comment on function public.list_mortgage_applications is
  'As borrower: the actor''s own applications. As lender: everybody''s that are open or offered; for thinkers with the role '
  'lender and trusted servers. Oldest first. Refuses: role_unknown (400), not_a_lender (403).';

grant execute on function public.list_mortgage_applications to authenticated, service_role;

-- sql/50_mortgages/functions/list_mortgage_offers.sql
create function public.list_mortgage_offers(role text default null, application_id text default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if list_mortgage_offers.role not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_offers.role is null and list_mortgage_offers.application_id is null then
    raise sqlstate 'PT400' using message = 'application_required';
  end if;

  return (
    select coalesce(jsonb_agg(private.offer_json(o) order by o.created_at, o.id), '[]')
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where (list_mortgage_offers.application_id is null or o.application_id = list_mortgage_offers.application_id)
      and case list_mortgage_offers.role
        when 'borrower' then a.borrower_id = auth.uid()
        when 'lender' then o.lender_id = auth.uid()
        else private.is_service() or auth.uid() in (a.borrower_id, o.lender_id)
      end
  );
end;
$$;

comment on function public.list_mortgage_offers is
  'As borrower: the offers for the actor''s applications. As lender: the actor''s own offers. Without a role: those for one '
  'application that the actor takes part in, all of them for a trusted server. Oldest first. '
  'Refuses: role_unknown, application_required (400).';

grant execute on function public.list_mortgage_offers to authenticated, service_role;

-- sql/50_mortgages/functions/mortgage_contract_json.sql
create function private.mortgage_contract_json(contract public.mortgage_contracts)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(contract) || jsonb_build_object(
    'application_id', o.application_id,
    'lender_uid', private.uid_of(o.lender_id),
    'borrower_uid', private.uid_of(a.borrower_id)
  )
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = contract.offer_id
$$;

comment on function private.mortgage_contract_json is
  'A mortgage contract as the functions return it: its columns, the application''s id, and the uids of lender and borrower.';

-- sql/50_mortgages/functions/offer_json.sql
create function private.offer_json(offer public.mortgage_offers)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(offer) || jsonb_build_object(
    'lender_uid', private.uid_of(offer.lender_id),
    'borrower_uid', (
      select private.uid_of(a.borrower_id) from public.mortgage_applications a where a.id = offer.application_id
    )
  )
$$;

comment on function private.offer_json is 'An offer as the functions return it: its columns, and the uids of lender and borrower.';

-- sql/50_mortgages/functions/offer_mortgage.sql
create function public.offer_mortgage(
  application_id  text,
  offer_id        text    default null,
  interest_rate   numeric default null,
  monthly_payment bigint  default null,
  loan            jsonb   default null,
  interest        jsonb   default null,
  repayment       jsonb   default null,
  fees            jsonb   default null,
  validity        jsonb   default null,
  terms_ref       jsonb   default null,
  room_refs       jsonb   default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request     jsonb := jsonb_build_array(
    'offer_mortgage', offer_mortgage.application_id, offer_mortgage.offer_id, offer_mortgage.interest_rate,
    offer_mortgage.monthly_payment, offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment,
    offer_mortgage.fees, offer_mortgage.validity, offer_mortgage.terms_ref, offer_mortgage.room_refs
  );
  answer      jsonb := private.first_answer(offer_mortgage.idempotency_key, request);
  lender      uuid := private.acting_thinker();
  new_id      text := coalesce(offer_mortgage.offer_id, private.new_id('mort-offer'));
  room        text := 'mortgage:offer:' || new_id;
  application public.mortgage_applications;
  offer       public.mortgage_offers;
begin
  if answer is not null then
    return answer;
  end if;

  if not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'lender_role_required';
  end if;

  select * into application
  from public.mortgage_applications a
  where a.id = offer_mortgage.application_id
  for no key update;

  if not found then
    raise sqlstate 'PT404' using message = 'application_not_found';
  end if;
  if application.status not in ('open', 'offered') then
    raise sqlstate 'PT409' using message = 'application_closed', detail = application.status;
  end if;

  if offer_mortgage.monthly_payment not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  perform private.check_interest(offer_mortgage.interest_rate);

  insert into public.mortgage_offers (
    id, application_id, lender_id, interest_rate, monthly_payment,
    loan, interest, repayment, fees, validity, terms_ref, room_refs
  )
  values (
    new_id, application.id, lender, offer_mortgage.interest_rate, offer_mortgage.monthly_payment,
    offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment, offer_mortgage.fees,
    offer_mortgage.validity, offer_mortgage.terms_ref,
    coalesce(offer_mortgage.room_refs, jsonb_build_object('negotiationRoomId', room, 'contractRoomId', null))
  )
  on conflict (id) do nothing
  returning * into offer;
  if not found then
    raise sqlstate 'PT409' using message = 'offer_exists';
  end if;

  update public.mortgage_applications a set status = 'offered' where a.id = application.id and a.status = 'open';

  if offer_mortgage.room_refs is null then
    insert into public.rooms (id, owner_id, meta)
    values (room, lender, jsonb_build_object('source', 'mortgage', 'offer_id', offer.id))
    -- documents may have been laid there before: it is this lender's room all the same
    on conflict (id) do update set owner_id = excluded.owner_id;
  end if;

  return private.keep_answer(offer_mortgage.idempotency_key, request, private.offer_json(offer));
end;
$$;

comment on function public.offer_mortgage is
  'Offers a mortgage for an application, which becomes offered, as the acting thinker, who must have the role lender, or for '
  'whom a trusted server speaks. interest_rate is a fraction, '
  'monthly_payment in minor units (cents); loan to terms_ref are the lender''s own words. Without room_refs a room for the '
  'negotiation is made. Returns the offer. Refuses: not_signed_in (401); lender_role_required (403); amount_out_of_range, interest_out_of_range (400); '
  'application_not_found (404); application_closed, offer_exists (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.offer_mortgage to authenticated, service_role;

-- sql/50_mortgages/functions/sign_mortgage_contract.sql
create function public.sign_mortgage_contract(contract_id text, signer text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request  jsonb := jsonb_build_array(
    'sign_mortgage_contract', sign_mortgage_contract.contract_id, sign_mortgage_contract.signer
  );
  answer   jsonb := private.first_answer(sign_mortgage_contract.idempotency_key, request);
  contract public.mortgage_contracts;
  borrower uuid;
  lender   uuid;
begin
  if answer is not null then
    return answer;
  end if;

  select * into contract
  from public.mortgage_contracts c
  where c.id = sign_mortgage_contract.contract_id
  for no key update;

  if not found then
    raise sqlstate 'PT404' using message = 'mortgage_contract_not_found';
  end if;

  select a.borrower_id, o.lender_id into borrower, lender
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = contract.offer_id;

  case sign_mortgage_contract.signer
    when 'borrower' then
      if auth.uid() is distinct from borrower then
        raise sqlstate 'PT403' using message = 'not_the_borrower';
      end if;
      contract.borrower_signed_at := coalesce(contract.borrower_signed_at, now());
    when 'lender' then
      if auth.uid() is distinct from lender then
        raise sqlstate 'PT403' using message = 'not_the_lender';
      end if;
      contract.lender_signed_at := coalesce(contract.lender_signed_at, now());
    when 'notary' then
      if not private.may_act_as('notary') then
        raise sqlstate 'PT403' using message = 'not_a_notary';
      end if;
      contract.notary_signed_at := coalesce(contract.notary_signed_at, now());
    else
      raise sqlstate 'PT400' using message = 'signer_unknown';
  end case;

  update public.mortgage_contracts c
  set borrower_signed_at = contract.borrower_signed_at,
      lender_signed_at = contract.lender_signed_at,
      notary_signed_at = contract.notary_signed_at,
      status = case
        when c.status = 'draft' and num_nulls(
          contract.borrower_signed_at, contract.lender_signed_at, contract.notary_signed_at
        ) = 0 then 'signed'
        else c.status
      end,
      updated_at = now()
  where c.id = contract.id
  returning * into contract;

  return private.keep_answer(sign_mortgage_contract.idempotency_key, request, private.mortgage_contract_json(contract));
end;
$$;

comment on function public.sign_mortgage_contract is
  'Signs a mortgage contract as its borrower, its lender or the notary (a thinker with that role, or a trusted server), in '
  'any order; signing again changes nothing. With all three the contract is signed. Returns the contract. '
  'Refuses: signer_unknown (400); not_the_borrower, not_the_lender, not_a_notary (403); mortgage_contract_not_found (404). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.sign_mortgage_contract to authenticated, service_role;

-- sql/55_telbank/tables/transfers.sql
create table public.transfers (
  id               text           primary key,
  thinker_id       uuid           references public.thinkers (id) on delete restrict,
  direction        text           not null,
  wallet_address   text,
  network          text,
  crypto_amount    numeric(36,18) not null,
  crypto_symbol    text           not null,
  fiat_amount      bigint         not null,
  fiat_currency    text           not null,
  external_account text,
  label            text           not null,
  meta             jsonb          not null default '{}',
  status           text           not null default 'logged',
  created_at       timestamptz    not null default now(),
  updated_at       timestamptz    not null default now(),

  constraint direction_is_valid check (direction in ('in', 'out')),
  constraint wallet_address_has_1_to_255_characters check (char_length(wallet_address) between 1 and 255),
  constraint crypto_symbol_has_1_to_32_characters check (char_length(crypto_symbol) between 1 and 32),
  constraint fiat_currency_has_1_to_32_characters check (char_length(fiat_currency) between 1 and 32),
  constraint fiat_amount_is_a_safe_amount check (fiat_amount between -9007199254740991 and 9007199254740991),
  constraint crypto_amount_is_a_number check (crypto_amount <> 'NaN'),
  constraint transfer_status_is_valid check (status in ('logged', 'settled')),
  constraint updated_at_is_not_before_created_at check (updated_at >= created_at),
  constraint texts_have_at_most_1_mib check (
    octet_length(network) <= 1048576 and octet_length(external_account) <= 1048576 and octet_length(label) <= 1048576
  ),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint transfer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, updated_at))
);

comment on table public.transfers is
  'The log of transfer intents between crypto and fiat (specification, 1.5); nothing is executed. Written by log_transfer.';
comment on column public.transfers.thinker_id is 'Who logged it, where that is known.';
comment on column public.transfers.crypto_amount is
  'In units of crypto_symbol (1.5 is one and a half ETH). May be negative, as the legacy API lets it: a correction.';
comment on column public.transfers.fiat_amount is
  'The minor unit of fiat_currency (cents; see private.currency_exponent). May be negative: a correction.';
comment on column public.transfers.fiat_currency is 'As it was sent.';
comment on column public.transfers.external_account is 'IBAN, Skrill account or reference.';

create index transfers_wallet_address_idx on public.transfers (wallet_address, created_at);
create index transfers_thinker_id_idx on public.transfers (thinker_id);
create index transfers_created_at_idx on public.transfers (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.transfers
  alter column id set statistics 0,
  alter column wallet_address set statistics 0,
  alter column network set statistics 0,
  alter column external_account set statistics 0,
  alter column label set statistics 0;

alter table public.transfers enable row level security;

grant select on public.transfers to service_role, authenticated;

create policy "thinkers see the transfers that they logged"
  on public.transfers
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

-- money hangs on them
create trigger tg_transfers__refuse
before delete or truncate on public.transfers
for each statement execute function private.tg_append_only__refuse();

-- sql/55_telbank/functions/currency_exponent.sql
create function private.currency_exponent(currency text)
returns integer
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when upper(currency) in (
      'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF'
    ) then 0
    when upper(currency) in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
    when upper(currency) in ('CLF', 'UYW') then 4
    else 2
  end
$$;

comment on function private.currency_exponent is
  'How many decimals a currency''s minor unit has (ISO 4217): 0 for JPY, 3 for KWD, 2 for most and for the unknown.';

-- sql/55_telbank/functions/get_transfer.sql
create function public.get_transfer(transfer_id text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  transfer public.transfers;
begin
  select * into transfer from public.transfers t where t.id = get_transfer.transfer_id;
  if not found then
    raise sqlstate 'PT404' using message = 'transfer_not_found';
  end if;
  return private.transfer_json(transfer);
end;
$$;

comment on function public.get_transfer is 'One transfer that the caller may read. Refuses: transfer_not_found (404).';

grant execute on function public.get_transfer to service_role, authenticated;

-- sql/55_telbank/functions/list_transfers.sql
create function public.list_transfers(wallet_address text default null, direction text default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.transfer_json(t) order by t.created_at desc, t.id desc), '[]')
  from public.transfers t
  where (list_transfers.wallet_address is null or t.wallet_address = list_transfers.wallet_address)
    and (list_transfers.direction is null or t.direction = list_transfers.direction)
$$;

comment on function public.list_transfers is
  'The transfers that the caller may read and that fit every given filter exactly, newest first.';

grant execute on function public.list_transfers to service_role, authenticated;

-- sql/55_telbank/functions/log_transfer.sql
create function public.log_transfer(
  direction        text,
  crypto_amount    numeric,
  crypto_symbol    text,
  fiat_major       numeric,
  fiat_currency    text,
  label            text    default null,
  wallet_address   text    default null,
  network          text    default null,
  external_account text    default null,
  meta             jsonb   default null,
  idempotency_key  text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request    jsonb := jsonb_build_array(
    'log_transfer', log_transfer.direction, log_transfer.crypto_amount, log_transfer.crypto_symbol,
    log_transfer.fiat_major, log_transfer.fiat_currency, log_transfer.label, log_transfer.wallet_address,
    log_transfer.network, log_transfer.external_account, log_transfer.meta
  );
  answer     jsonb := private.first_answer(log_transfer.idempotency_key, request);
  thinker    uuid;
  fiat_minor numeric;
  transfer   public.transfers;
begin
  if answer is not null then
    return answer;
  end if;

  if auth.uid() is not null or not private.is_service() then
    thinker := private.acting_thinker();
  end if;

  if coalesce(log_transfer.direction, '') not in ('in', 'out') then
    raise sqlstate 'PT400' using message = 'direction_unknown';
  end if;
  if num_nulls(
    log_transfer.crypto_amount, log_transfer.crypto_symbol, log_transfer.fiat_major, log_transfer.fiat_currency
  ) > 0 then
    raise sqlstate 'PT400' using message = 'amounts_required';
  end if;

  -- NaN is greater than every number, and so refused with the infinities
  fiat_minor := log_transfer.fiat_major * 10::numeric ^ private.currency_exponent(log_transfer.fiat_currency);
  if abs(fiat_minor) > 9007199254740991 or abs(log_transfer.crypto_amount) >= 1e18 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;

  insert into public.transfers (
    id, direction, wallet_address, network, crypto_amount, crypto_symbol,
    fiat_amount, fiat_currency, external_account, meta, label, thinker_id
  )
  values (
    private.new_id(log_transfer.direction),
    log_transfer.direction,
    log_transfer.wallet_address,
    log_transfer.network,
    log_transfer.crypto_amount,
    log_transfer.crypto_symbol,
    round(fiat_minor),
    log_transfer.fiat_currency,
    log_transfer.external_account,
    coalesce(log_transfer.meta, '{}'),
    coalesce(
      log_transfer.label,
      case log_transfer.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
    ),
    thinker
  )
  returning * into transfer;

  return private.keep_answer(log_transfer.idempotency_key, request, private.transfer_json(transfer));
end;
$$;

comment on function public.log_transfer is
  'Logs a transfer intent of the acting thinker, or of nobody in particular for a trusted server. fiat_major is in the '
  'currency''s major unit (euros) and is rounded to the minor unit, half away from zero; crypto_amount keeps 18 decimals. '
  'Returns the transfer. Refuses: not_signed_in (401); direction_unknown, amounts_required, amount_out_of_range (400). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.log_transfer to authenticated, service_role;

-- sql/55_telbank/functions/transfer_json.sql
create function private.transfer_json(transfer public.transfers)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(transfer) || jsonb_build_object(
    'crypto_amount', trim_scale(transfer.crypto_amount),
    'fiat_exponent', private.currency_exponent(transfer.fiat_currency),
    'thinker_uid', private.uid_of(transfer.thinker_id)
  )
$$;

comment on function private.transfer_json is
  'A transfer as the functions return it: its columns, the decimals of its fiat currency, and the uid of who logged it.';

grant execute on function private.currency_exponent to service_role, authenticated;
grant execute on function private.transfer_json to service_role, authenticated;

-- sql/55_telbank/triggers/tg_transfers__touch.sql
create function private.tg_transfers__touch()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- the clock, not the transaction's beginning, which may be before the row's
  new.updated_at := greatest(new.created_at, clock_timestamp());
  return new;
end;
$$;

comment on function private.tg_transfers__touch is 'Says in updated_at when a transfer was changed, by hand too.';

create trigger tg_transfers__touch
  before update on public.transfers
  for each row
  execute function private.tg_transfers__touch();

-- sql/60_events/tables/events.sql
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

-- sql/60_events/tables/telemetry_events.sql
create table public.telemetry_events (
  id         text        primary key default private.new_id('te'),
  type       text        not null,
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

comment on table public.telemetry_events is 'What the portal''s pages report of themselves: views, clicks. Written by record_telemetry.';
comment on column public.telemetry_events.meta is 'As the page sent it; any JSON.';

create index telemetry_events_actor_id_idx on public.telemetry_events (actor_id);
create index telemetry_events_created_at_idx on public.telemetry_events (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
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

-- sql/60_events/functions/dashboard.sql
create function public.dashboard()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  with recent as (
    select
      e.created_at,
      coalesce(e.subject_type, 'unknown') as feature,
      e.type,
      e.type ~* 'error|fail'
        or (e.type = 'voucher.cancel' and coalesce(e.meta ->> 'reason', '') ~* 'error') as is_error,
      e.type ~* 'fix|resolve' as is_fix,
      e.type ~* 'critical|crash' as is_crash
    from public.events e
    where e.created_at > now() - interval '30 days'
  ),
  figures as (
    select
      count(*) as total,
      count(*) filter (where is_error) as errors,
      count(*) filter (where is_fix) as fixes,
      count(*) filter (where is_fix and created_at > now() - interval '7 days') as fixes_of_week,
      count(*) filter (where created_at > now() - interval '24 hours') as active,
      coalesce(100.0 * count(*) filter (where is_error) / nullif(count(*), 0), 0) as error_rate,
      coalesce(100.0 * count(*) filter (where is_crash) / nullif(count(*), 0), 0) as crash_rate
    from recent
  )
  select jsonb_build_object(
    'production_readiness', round(
      0.3 * least(100, active) + 0.4 * (100 - error_rate) + 0.3 * greatest(0, 100 - 2 * error_rate), 1
    ),
    'quality_score', round(100 - error_rate, 1),
    'system_stability', round(100 - crash_rate, 1),
    'activity_count', active,
    'production_timeline', (
      select jsonb_agg(
        jsonb_build_object(
          'date', to_char(day, 'YYYY-MM-DD'),
          'count', (select count(*) from recent r where (r.created_at at time zone 'UTC')::date = day::date)
        )
        order by day
      )
      from generate_series(
        (now() at time zone 'UTC')::date - 6, (now() at time zone 'UTC')::date, interval '1 day'
      ) as day
    ),
    'error_rate', round(error_rate, 2),
    'error_count', errors,
    'event_count', total,
    'top_errors', (
      select coalesce(jsonb_agg(jsonb_build_object('type', t.type, 'count', t.count) order by t.count desc, t.type), '[]')
      from (
        select r.type, count(*) from recent r where r.is_error group by r.type order by 2 desc, 1 limit 10
      ) t
    ),
    'fix_rate', round(coalesce(100.0 * fixes / nullif(errors, 0), 0), 2),
    'fixes_per_week', fixes_of_week,
    'open_errors', greatest(0, errors - fixes),
    'features', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('name', f.feature, 'events', f.events, 'error_rate', round(f.error_rate, 2))
          order by f.events desc, f.feature
        ),
        '[]'
      )
      from (
        select r.feature, count(*) as events, 100.0 * count(*) filter (where r.is_error) / count(*) as error_rate
        from recent r
        group by r.feature
      ) f
    ),
    'recent_events', public.list_events(20),
    -- what PostgreSQL itself knows of backups: the archive of its log, of which a server is restored
    'backup', (
      select jsonb_build_object(
        'status', case
          when current_setting('archive_mode') = 'off' then 'off'
          when a.last_failed_time >= coalesce(a.last_archived_time, '-infinity') then 'failed'
          when a.last_archived_time is null then 'waiting'
          else 'ok'
        end,
        'last_backup_at', a.last_archived_time,
        'success_rate', round(coalesce(100.0 * a.archived_count / nullif(a.archived_count + a.failed_count, 0), 0), 2)
      )
      from pg_catalog.pg_stat_archiver a
    )
  )
  from figures
$$;

comment on function public.dashboard is
  'The figures of GET /api/admin/dashboard (contract, section 7) over the events of the last 30 days; rates in percent, days in UTC. '
  'backup is the state of the server''s log archive (off, waiting, ok, failed), when it last grew, and how many percent of the '
  'attempts succeeded. Refuses: not_an_admin (403).';

grant execute on function public.dashboard to service_role, authenticated;

-- sql/60_events/functions/drop_old_event_partitions.sql
create function private.drop_old_event_partitions(older_than interval)
returns integer
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '500ms'
as $$
declare
  old     regclass;
  dropped integer := 0;
begin
  for old in
    select p.partition
    from private.event_partitions() p
    where p.ends_at <= least(now(), now() - drop_old_event_partitions.older_than)
  loop
    execute format('drop table %s', old);
    dropped := dropped + 1;
  end loop;
  return dropped;
end;
$$;

comment on function private.drop_old_event_partitions is
  'Drops the months of public.events that were over so long ago, whole: an event younger than older_than is never lost, nor is '
  'one of the default partition. Returns how many months were dropped. Gives up (lock_timeout) where it would wait more than '
  'half a second, as behind a long query: run it again later.';

-- sql/60_events/functions/error_summary.sql
create function public.error_summary()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  with errors as (
    select e as event, reported.type, e.created_at, e.id
    from public.events e
    -- what a page reports is a telemetry.event, whatever its type
    cross join lateral (
      select case e.type when 'telemetry.event' then coalesce(e.meta ->> 'type', '') else e.type end as type
    ) reported
    where reported.type ~* 'error|fail' and e.created_at > now() - interval '30 days'
  )
  select jsonb_build_object(
    'total', (select count(*) from errors),
    'by_type', (
      select coalesce(jsonb_object_agg(t.type, t.count), '{}')
      from (select type, count(*) from errors group by type) t
    ),
    'recent', (
      select coalesce(jsonb_agg(private.event_json(e.event) order by e.created_at desc, e.id desc), '[]')
      from (select * from errors order by created_at desc, id desc limit 20) e
    )
  )
$$;

comment on function public.error_summary is
  'The errors among the events of the last 30 days: {total, by_type, recent (the 20 newest)}, for GET /api/autofix/status. '
  'Refuses: not_an_admin (403).';

grant execute on function public.error_summary to service_role, authenticated;

-- sql/60_events/functions/event_json.sql
create function private.event_json(event public.events)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(event) || jsonb_build_object('actor_uid', private.uid_of(event.actor_id))
$$;

comment on function private.event_json is 'An event as the functions return it: its columns, and the actor''s uid.';

grant execute on function private.event_json to service_role, authenticated;

-- sql/60_events/functions/event_partitions.sql
create function private.event_partitions()
returns table (partition regclass, starts_at timestamptz, ends_at timestamptz)
language sql
stable
set search_path = ''
set timezone = 'UTC'
as $$
  select p.oid::regclass, p.bounds[1]::timestamptz, p.bounds[2]::timestamptz
  from (
    select c.oid, regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') as bounds
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'public.events'::regclass
  ) p
  order by 2 nulls last
$$;

comment on function private.event_partitions is
  'The partitions of public.events, oldest first: which events each holds, from starts_at on and before ends_at; nulls for the '
  'default one, which holds what has no month of its own.';

-- sql/60_events/functions/list_events.sql
create function public.list_events(max_rows integer default 50)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(jsonb_agg(private.event_json(e) order by e.created_at desc, e.id desc), '[]')
  from (
    select *
    from public.events
    order by created_at desc, id desc
    limit least(greatest(list_events.max_rows, 1), 200)
  ) e
$$;

comment on function public.list_events is
  'The latest events, newest first: max_rows of them, from 1 to 200. Refuses: not_an_admin (403).';

grant execute on function public.list_events to service_role, authenticated;

-- sql/60_events/functions/make_event_partition.sql
create function private.make_event_partition(month timestamptz)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
  name text := 'events_' || coalesce(to_char(make_event_partition.month, 'YYYY_MM'), 'default');
begin
  -- made alone, then attached: a table that is made as a partition locks out whoever reads or writes an event
  execute format('create table private.%I (like public.events including all)', name);
  execute format(
    'comment on table private.%I is %L',
    name,
    case
      when make_event_partition.month is null
        then 'The events that have no month of their own; private.make_event_partitions gives them one.'
      else 'The events of ' || to_char(make_event_partition.month, 'YYYY-MM') || ' (UTC): a partition of public.events.'
    end
  );
  execute format('alter table private.%I alter column subject_id set statistics 0', name);
  execute format('alter table private.%I enable row level security', name);
  execute format(
    'create trigger tg_events__refuse before truncate on private.%I '
    'for each statement execute function private.tg_append_only__refuse()',
    name
  );
  execute format(
    'alter table public.events attach partition private.%I %s',
    name,
    case
      when make_event_partition.month is null then 'default'
      else format(
        'for values from (%L) to (%L)', make_event_partition.month, make_event_partition.month + interval '1 month'
      )
    end
  );
end;
$$;

comment on function private.make_event_partition is
  'Makes the partition of public.events for the month that begins at this moment (UTC), or the default one (null): nobody may '
  'read or write it by itself, nor truncate it. Call private.make_event_partitions, which knows which ones are missing.';

-- sql/60_events/functions/make_event_partitions.sql
create function private.make_event_partitions()
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '10s'
as $$
declare
  this_month constant timestamptz := date_trunc('month', now());
  horizon    constant timestamptz := this_month + interval '4 months';
  homeless   boolean;
  missing    timestamptz[];
  month      timestamptz;
begin
  -- whoever makes partitions at the same time is waited for
  perform pg_advisory_xact_lock(hashtextextended('make_event_partitions', 0));
  -- nobody else for long, because all others would queue behind this; and less than deadlock_timeout, so that of two who
  -- wait for each other it is this one that gives up
  perform set_config('lock_timeout', '500ms', true);

  if not exists (select from private.event_partitions() p where p.starts_at is null) then
    perform private.make_event_partition(null);
  end if;

  homeless := exists (select from private.events_default e where e.created_at < horizon);
  if homeless then
    -- thinkers first, as everybody who makes a thinker and writes its event
    lock table public.thinkers in share row exclusive mode;
    lock table only public.events in access exclusive mode;
  end if;

  select array_agg(m.month order by m.month) into missing
  from (
    select distinct date_trunc('month', e.created_at) as month from private.events_default e where e.created_at < horizon
    union
    select generate_series(this_month, horizon - interval '1 month', interval '1 month')
  ) m
  where not exists (select from private.event_partitions() p where m.month >= p.starts_at and m.month < p.ends_at);

  if missing is null then
    return;
  end if;

  if homeless then
    -- no row of a log is deleted, not to be moved either: its table goes, and it is written again
    create temporary table homeless_events as select * from private.events_default;
    drop table private.events_default;
    perform private.make_event_partition(null);
  else
    -- as above; every foreign key to a table takes this lock
    lock table public.thinkers in share row exclusive mode;
  end if;

  foreach month in array missing loop
    perform private.make_event_partition(month);
  end loop;

  if homeless then
    execute format('insert into public.events select * from %s', to_regclass('pg_temp.homeless_events'));
    execute format('drop table %s', to_regclass('pg_temp.homeless_events'));
  end if;
end;
$$;

comment on function private.make_event_partitions is
  'Makes the partitions of public.events that are missing: one for each month (UTC) from now to three months ahead, one for '
  'each past month of which there are events in the default partition, which move there, and the default one for all '
  'others. To be run now and then; who runs it twice, or beside another, has them once. Gives up (lock_timeout) '
  'where it would wait more than half a second, as behind a long query: run it again later.';

select private.make_event_partitions();

-- sql/60_events/functions/record_telemetry.sql
create function public.record_telemetry(events jsonb, idempotency_key text default null)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('record_telemetry', record_telemetry.events);
  answer  jsonb := private.first_answer(record_telemetry.idempotency_key, request);
  actor   uuid;
  stored  integer;
begin
  if answer is not null then
    return answer::integer;
  end if;

  if coalesce(jsonb_typeof(record_telemetry.events), '') <> 'array' then
    raise sqlstate 'PT400' using message = 'events_required';
  end if;
  if jsonb_array_length(record_telemetry.events) > 1000 then
    raise sqlstate 'PT413' using message = 'too_many_events';
  end if;

  -- a trusted server speaks for the pages' users; anybody else for itself only. In the order of their ids, so that
  -- two batches with the same new thinkers wait for each other and never in a circle
  if private.is_service() then
    perform private.thinker_of(named.uid)
    from (
      select distinct e ->> 'actor_uid' as uid
      from jsonb_array_elements(record_telemetry.events) as e
      where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> ''
    ) named
    order by private.thinker_id(named.uid);
  else
    actor := private.acting_thinker();
  end if;

  insert into public.telemetry_events (type, path, actor_id, meta)
  select e ->> 'type', e ->> 'path', coalesce(actor, private.thinker_id(e ->> 'actor_uid')), nullif(e -> 'meta', 'null')
  from jsonb_array_elements(record_telemetry.events) as e
  where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> '';
  get diagnostics stored = row_count;

  perform private.keep_answer(record_telemetry.idempotency_key, request, to_jsonb(stored));
  return stored;
end;
$$;

comment on function public.record_telemetry is
  'Stores what pages report: an array of {type, path, actor_uid, meta}; events without a type are skipped. Returns how many '
  'were stored. Refuses: events_required, uid_invalid (400), not_signed_in (401), too_many_events (413: more than 1,000). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.record_telemetry to authenticated, service_role;

-- sql/60_events/triggers/tg_contracts__write_upload.sql
create function private.tg_contracts__write_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'contract.upload', new.created_by, 'contract', new.id,
    jsonb_build_object('voucherId', l.voucher_id, 'roomId', l.room_id, 'storageUrl', new.storage_url)
  from (select) as one
  left join public.contract_links l on l.contract_id = new.id
  order by l.created_at, l.id
  limit 1;
  return null;
end;
$$;

comment on function private.tg_contracts__write_upload is 'Writes the event contract.upload.';

create trigger tg_contracts__write_upload
  after insert on public.contracts
  for each row
  execute function private.tg_contracts__write_upload();

-- sql/60_events/triggers/tg_mortgage_applications__write_application.sql
create function private.tg_mortgage_applications__write_application()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'mortgage.application', new.borrower_id, 'mortgage_application', new.id,
    jsonb_build_object(
      'propertyId', new.property_id,
      'desiredLoan',
      case
        when new.desired_loan is not null
          then jsonb_build_object('amount', new.desired_loan, 'currency', new.currency)
      end
    )
  );
  return null;
end;
$$;

comment on function private.tg_mortgage_applications__write_application is 'Writes the event mortgage.application.';

create trigger tg_mortgage_applications__write_application
  after insert on public.mortgage_applications
  for each row
  execute function private.tg_mortgage_applications__write_application();

-- sql/60_events/triggers/tg_mortgage_contracts__write_sign.sql
create function private.tg_mortgage_contracts__write_sign()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'mortgage.sign', coalesce(private.known_actor(), signature.natural_signer), 'mortgage_contract', new.id,
    jsonb_build_object('signer', signature.signer, 'status', new.status)
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  cross join lateral (
    values
      ('borrower', a.borrower_id, new.borrower_signed_at, old.borrower_signed_at),
      ('lender', o.lender_id, new.lender_signed_at, old.lender_signed_at),
      ('notary', null, new.notary_signed_at, old.notary_signed_at)
  ) signature (signer, natural_signer, signed_at, signed_before)
  where o.id = new.offer_id and signature.signed_at is not null and signature.signed_before is null;
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__write_sign is
  'Writes an event mortgage.sign for each signature that appears: of whoever acted, else of the borrower or lender whose '
  'signature it is; of nobody for a notary who is not known.';

create trigger tg_mortgage_contracts__write_sign
  after insert or update on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__write_sign();

-- sql/60_events/triggers/tg_mortgage_offers__write_accept.sql
create function private.tg_mortgage_offers__write_accept()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  borrower uuid;
begin
  if new.status = 'accepted' and (tg_op = 'INSERT' or old.status <> 'accepted') then
    select a.borrower_id into borrower from public.mortgage_applications a where a.id = new.application_id;

    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'mortgage.accept', coalesce(private.known_actor(), borrower), 'mortgage_offer', new.id,
      jsonb_build_object('applicationId', new.application_id, 'lenderUid', private.uid_of(new.lender_id))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_mortgage_offers__write_accept is
  'Writes the event mortgage.accept: of whoever accepted, or of the borrower where nobody is known.';

create trigger tg_mortgage_offers__write_accept
  after insert or update of status on public.mortgage_offers
  for each row
  execute function private.tg_mortgage_offers__write_accept();

-- sql/60_events/triggers/tg_mortgage_offers__write_offer.sql
create function private.tg_mortgage_offers__write_offer()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'mortgage.offer', new.lender_id, 'mortgage_offer', new.id,
    jsonb_build_object('applicationId', new.application_id)
  );
  return null;
end;
$$;

comment on function private.tg_mortgage_offers__write_offer is 'Writes the event mortgage.offer.';

create trigger tg_mortgage_offers__write_offer
  after insert on public.mortgage_offers
  for each row
  execute function private.tg_mortgage_offers__write_offer();

-- sql/60_events/triggers/tg_presence_sessions__write_heartbeat.sql
create function private.tg_presence_sessions__write_heartbeat()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.heartbeat', new.thinker_id, 'presence_session', new.id,
    jsonb_build_object('pairCode', new.pair_code, 'status', new.status)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_heartbeat is 'Writes the event presence.heartbeat.';

create trigger tg_presence_sessions__write_heartbeat
  after insert or update of last_seen_at on public.presence_sessions
  for each row
  execute function private.tg_presence_sessions__write_heartbeat();

-- sql/60_events/triggers/tg_presence_sessions__write_match.sql
create function private.tg_presence_sessions__write_match()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.match', new.thinker_id, 'room', new.room_id,
    jsonb_build_object('pairCode', new.pair_code)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_match is 'Writes the event presence.match.';

create trigger tg_presence_sessions__write_match
  after update of room_id on public.presence_sessions
  for each row
  when (new.room_id is not null and new.room_id is distinct from old.room_id)
  execute function private.tg_presence_sessions__write_match();

-- sql/60_events/triggers/tg_presence_sessions__write_offline.sql
create function private.tg_presence_sessions__write_offline()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.offline',
    case when new.silenced then new.thinker_id else coalesce(private.known_actor(), new.thinker_id) end,
    'presence_session',
    new.id,
    jsonb_build_object('pairCode', new.pair_code, 'silenced', new.silenced)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_offline is
  'Writes the event presence.offline: of whoever said so, or of the thinker who is offline, where nobody did or a job '
  '(silenced) did.';

create trigger tg_presence_sessions__write_offline
  after update of status on public.presence_sessions
  for each row
  when (old.status = 'online' and new.status = 'offline')
  execute function private.tg_presence_sessions__write_offline();

-- sql/60_events/triggers/tg_telemetry_events__write_event.sql
create function private.tg_telemetry_events__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'telemetry.event', new.actor_id, 'telemetry', new.id,
    jsonb_build_object('type', new.type, 'path', regexp_replace(new.path, '[?#].*', ''))
  );
  return null;
end;
$$;

comment on function private.tg_telemetry_events__write_event is
  'Writes the event telemetry.event, with the path of the page without its query, where a token may stand.';

create trigger tg_telemetry_events__write_event
  after insert on public.telemetry_events
  for each row
  execute function private.tg_telemetry_events__write_event();

-- sql/60_events/triggers/tg_thinkers__write_verify.sql
create function private.tg_thinkers__write_verify()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.verify', new.id, 'thinker', new.public_id, '{}'
  );
  return null;
end;
$$;

comment on function private.tg_thinkers__write_verify is 'Writes the event presence.verify.';

create trigger tg_thinkers__write_verify
  after update of verified_at on public.thinkers
  for each row
  execute function private.tg_thinkers__write_verify();

-- sql/60_events/triggers/tg_transfers__write_logged.sql
create function private.tg_transfers__write_logged()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'transfer.logged', new.thinker_id, 'transfer', new.id,
    jsonb_strip_nulls(jsonb_build_object('walletAddress', new.wallet_address, 'direction', new.direction))
  );
  return null;
end;
$$;

comment on function private.tg_transfers__write_logged is 'Writes the event transfer.logged.';

create trigger tg_transfers__write_logged
  after insert on public.transfers
  for each row
  execute function private.tg_transfers__write_logged();

-- sql/60_events/triggers/tg_transfers__write_settled.sql
create function private.tg_transfers__write_settled()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status = 'settled' and (tg_op = 'INSERT' or old.status <> 'settled') then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'transfer.settled', coalesce(private.known_actor(), new.thinker_id), 'transfer', new.id,
      jsonb_strip_nulls(jsonb_build_object('walletAddress', new.wallet_address, 'direction', new.direction))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_transfers__write_settled is
  'Writes the event transfer.settled: of whoever settled it, or of the thinker who logged it where nobody is known.';

create trigger tg_transfers__write_settled
  after insert or update of status on public.transfers
  for each row
  execute function private.tg_transfers__write_settled();

-- sql/60_events/triggers/tg_voucher_bookings__write_book.sql
create function private.tg_voucher_bookings__write_book()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.book', new.holder_id, 'voucher_booking', new.id,
    jsonb_build_object('voucherId', new.voucher_id, 'slotStart', private.iso(new.slot_start))
  );
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_book is 'Writes the event voucher.book.';

create trigger tg_voucher_bookings__write_book
  after insert on public.voucher_bookings
  for each row
  execute function private.tg_voucher_bookings__write_book();

-- sql/60_events/triggers/tg_voucher_bookings__write_cancel.sql
create function private.tg_voucher_bookings__write_cancel()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status = 'cancelled' and (tg_op = 'INSERT' or old.status <> 'cancelled') then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'voucher.cancel', coalesce(private.known_actor(), new.holder_id), 'voucher_booking', new.id,
      jsonb_build_object('voucherId', new.voucher_id, 'reason', left(new.cancel_reason, 1000))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_cancel is
  'Writes the event voucher.cancel: of whoever cancelled, or of the holder where a trusted server spoke for nobody.';

create trigger tg_voucher_bookings__write_cancel
  after insert or update of status on public.voucher_bookings
  for each row
  execute function private.tg_voucher_bookings__write_cancel();

-- sql/60_events/triggers/tg_vouchers__write_expire.sql
create function private.tg_vouchers__write_expire()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status = 'expired' and (tg_op = 'INSERT' or old.status <> 'expired') then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'voucher.expire', new.issuer_id, 'voucher', new.id,
      jsonb_build_object('validUntil', private.iso(new.valid_until))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_vouchers__write_expire is
  'Writes the event voucher.expire: of the issuer, who said until when it is valid, whoever or whatever noticed.';

create trigger tg_vouchers__write_expire
  after insert or update of status on public.vouchers
  for each row
  execute function private.tg_vouchers__write_expire();

-- sql/60_events/triggers/tg_vouchers__write_issue.sql
create function private.tg_vouchers__write_issue()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.issue', new.issuer_id, 'voucher', new.id,
    jsonb_build_object('serviceType', new.service_type)
  );
  return null;
end;
$$;

comment on function private.tg_vouchers__write_issue is 'Writes the event voucher.issue.';

create trigger tg_vouchers__write_issue
  after insert on public.vouchers
  for each row
  execute function private.tg_vouchers__write_issue();

-- sql/65_fees/tables/fees.sql
create table public.fees (
  id             text         primary key,
  scope          text         not null,
  percentage     numeric(6,4) not null default 0,
  fixed_amount   bigint       not null default 0,
  min_cents      bigint,
  max_cents      bigint,
  currency       text,
  active         boolean      not null default false,
  beneficiary_id uuid         not null default '6753616d-40b8-8b53-8e99-7b58caa8f8f6'
                              references public.thinkers (id) on delete restrict,
  meta           jsonb        not null default '{}',

  constraint fee_scope_is_valid check (scope in ('voucher', 'transfer', 'room', 'mortgage')),
  constraint percentage_is_a_fraction check (percentage between 0 and 1),
  constraint fixed_amount_is_not_negative check (fixed_amount >= 0),
  constraint fixed_amount_has_a_currency check (fixed_amount = 0 or currency is not null),
  constraint fee_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint fee_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint bounds_have_a_currency check (num_nonnulls(min_cents, max_cents) = 0 or currency is not null),
  constraint minimum_is_at_most_the_maximum check (min_cents <= max_cents),
  constraint fixed_amount_is_at_most_the_maximum check (fixed_amount <= max_cents),
  constraint amounts_are_safe check (
    fixed_amount <= 9007199254740991
    and min_cents between 0 and 9007199254740991
    and max_cents between 0 and 9007199254740991
  )
);

comment on table public.fees is
  'What is charged for what (specification, 3.1): voucher.booking, transfer.logged. Every active fee of a scope is charged for '
  'each booking, transfer or accepted mortgage of that scope (room: nothing yet). Operators change the rows; each version is kept in fee_versions.';
comment on column public.fees.percentage is
  'A fraction: 0.02 is 2 percent, of the voucher''s price, the transfer''s fiat amount, the accepted loan.';
comment on column public.fees.fixed_amount is 'The minor unit (cents) of the fee''s currency.';
comment on column public.fees.min_cents is
  'The least that is charged, in the minor unit of the fee''s currency; holds where the whole charge is in that currency.';
comment on column public.fees.max_cents is 'The most that is charged, likewise.';
comment on column public.fees.currency is 'Of fixed_amount and of both bounds.';
comment on column public.fees.beneficiary_id is 'To whom what is charged from now on is owed; by default the thinker togethersystems, the portal itself.';

create index fees_beneficiary_id_idx on public.fees (beneficiary_id);

alter table public.fees enable row level security;

grant select on public.fees to service_role, authenticated;

create policy "the signed-in see the prices"
  on public.fees
  for select
  to authenticated
  using (true);

-- the beneficiary of the portal's own fees (specification, 3.2: the TogetherSystems pillar)
insert into public.thinkers (id, public_id) values (private.thinker_id('togethersystems'), 'togethersystems');

insert into public.fees (id, scope, percentage, active)
values ('voucher.booking', 'voucher', 0.02, true), ('transfer.logged', 'transfer', 0, false);

-- sql/65_fees/tables/settlements.sql
create table public.settlements (
  id             uuid        primary key default private.new_uuid(),
  beneficiary_id uuid        not null references public.thinkers (id) on delete restrict,
  period_from    date        not null,
  period_to      date        not null,
  total_cents    bigint      not null,
  currency       text        not null,
  status         text        not null default 'open',
  void_reason    text,
  created_at     timestamptz not null default now(),
  invoiced_at    timestamptz,
  paid_at        timestamptz,
  voided_at      timestamptz,

  constraint period_ends_after_it_begins check (period_to > period_from and isfinite(period_from) and isfinite(period_to)),
  constraint settlement_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint settlement_status_is_valid check (status in ('open', 'invoiced', 'paid', 'voided')),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at)),
  constraint status_agrees_with_its_times check (
    case status
      when 'open' then num_nonnulls(invoiced_at, paid_at, voided_at) = 0
      when 'invoiced' then invoiced_at is not null and num_nonnulls(paid_at, voided_at) = 0
      when 'paid' then num_nonnulls(invoiced_at, paid_at) = 2 and voided_at is null
      when 'voided' then voided_at is not null and paid_at is null
    end
  ),
  constraint only_a_voided_settlement_has_a_reason check (void_reason is null or status = 'voided'),
  constraint void_reason_has_at_most_1_mib check (octet_length(void_reason) <= 1048576),
  -- so that a fee event can only be settled for its own beneficiary, in its own currency
  constraint settlements_id_beneficiary_currency_key unique (id, beneficiary_id, currency)
);

comment on table public.settlements is
  'What a beneficiary is owed for a period (specification, 3.2). Written by settle_fees; open, invoiced, paid or voided by the '
  'functions of that name. Never deleted; no money is moved.';
comment on column public.settlements.period_from is 'The first day of the period, in the time zone of private.settings.';
comment on column public.settlements.period_to is 'The first day that no longer belongs to the period.';
comment on column public.settlements.total_cents is
  'The currency''s minor unit: the sum of its fee events, negative when more was reversed than charged. A voided settlement keeps '
  'its total, though its fee events are released.';

create index settlements_beneficiary_id_idx on public.settlements (beneficiary_id);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.settlements
  alter column void_reason set statistics 0;

alter table public.settlements enable row level security;

grant select on public.settlements to service_role, authenticated;

create policy "beneficiaries see their settlements"
  on public.settlements
  for select
  to authenticated
  using (
    beneficiary_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create trigger tg_settlements__refuse
before delete or truncate on public.settlements
for each statement execute function private.tg_append_only__refuse();

-- sql/65_fees/tables/fee_events.sql
create table public.fee_events (
  id             uuid         primary key default private.new_uuid(),
  fee_id         text         not null references public.fees (id) on delete restrict,
  subject_type   text         not null,
  subject_id     text         not null,
  base_cents     bigint,
  rate           numeric(6,4),
  fixed_cents    bigint,
  unrounded      numeric,
  bound          text,
  amount_cents   bigint       not null,
  currency       text         not null,
  beneficiary_id uuid         not null references public.thinkers (id) on delete restrict,
  reverses       uuid         unique references public.fee_events (id) on delete restrict,
  settlement_id  uuid,
  created_at     timestamptz  not null default now(),

  constraint subject_type_is_chargeable check (subject_type in ('voucher_booking', 'transfer', 'mortgage_contract')),
  constraint subject_id_is_not_empty check (subject_id <> ''),
  constraint fee_event_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at)),
  constraint a_charge_is_explained_and_a_reversal_names_it check (
    num_nonnulls(base_cents, rate, fixed_cents, unrounded) = case when reverses is null then 4 else 0 end
  ),
  constraint a_charge_is_not_negative_and_a_reversal_not_positive check (
    case when reverses is null then amount_cents >= 0 else amount_cents <= 0 end
  ),
  constraint the_unrounded_amount_follows_from_its_parts check (unrounded = base_cents * rate + fixed_cents),
  constraint the_amount_is_rounded_once check (bound is not null or amount_cents = round(unrounded)),
  constraint bound_is_valid check (bound in ('minimum', 'maximum')),
  constraint only_a_charge_is_bounded check (bound is null or reverses is null),
  -- whatever runs twice: one charge a fee, subject and currency, and one reversal of it
  constraint one_charge_a_fee_and_subject
    unique nulls not distinct (subject_type, subject_id, fee_id, currency, reverses),
  constraint a_settlement_is_for_one_beneficiary_in_one_currency
    foreign key (settlement_id, beneficiary_id, currency)
    references public.settlements (id, beneficiary_id, currency) on delete restrict
);

comment on table public.fee_events is
  'One charge, or the reversal of one (specification, 3.2), with its explanation. Written by triggers only; nothing of it ever '
  'changes but the link to its settlement.';
comment on column public.fee_events.subject_type is 'What was charged for: voucher_booking, transfer, mortgage_contract.';
comment on column public.fee_events.base_cents is 'What the percentage was taken of, in the currency''s minor unit.';
comment on column public.fee_events.rate is 'The percentage as a fraction: 0.02 is 2 percent.';
comment on column public.fee_events.fixed_cents is 'The fixed part, in the currency''s minor unit.';
comment on column public.fee_events.unrounded is 'base_cents * rate + fixed_cents, exactly.';
comment on column public.fee_events.bound is 'Which bound of the fee applied: minimum, maximum, or null.';
comment on column public.fee_events.amount_cents is
  'The currency''s minor unit: unrounded, rounded half away from zero, or the bound that applied; negative for a reversal.';
comment on column public.fee_events.beneficiary_id is 'To whom it is owed: the fee''s beneficiary when it was charged.';
comment on column public.fee_events.reverses is 'The charge that this row takes back.';
comment on column public.fee_events.settlement_id is 'Where it is settled; null until then, and again when that settlement is voided.';

create index fee_events_fee_id_idx on public.fee_events (fee_id);
create index fee_events_beneficiary_id_idx on public.fee_events (beneficiary_id, created_at);
create index fee_events_settlement_id_idx on public.fee_events (settlement_id);
create index fee_events_created_at_idx on public.fee_events (created_at);
create index fee_events_unsettled_idx on public.fee_events (created_at) where settlement_id is null;

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.fee_events
  alter column subject_id set statistics 0,
  alter column bound set statistics 0;

alter table public.fee_events enable row level security;

grant select on public.fee_events to service_role, authenticated;

create policy "parties and beneficiaries see the charges"
  on public.fee_events
  for select
  to authenticated
  using (
    -- of bookings and transfers, row level security shows each party its own
    (subject_type = 'voucher_booking' and subject_id in (select b.id from public.voucher_bookings b))
    or (subject_type = 'transfer' and subject_id in (select t.id from public.transfers t))
    or (
      subject_type = 'mortgage_contract'
      and subject_id in (
        select c.id from public.mortgage_contracts c where c.offer_id in (select private.my_offers())
      )
    )
    or beneficiary_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

-- every column but settlement_id
create trigger tg_fee_events__refuse
before delete or truncate or update of
  id, fee_id, subject_type, subject_id, amount_cents, currency, created_at, beneficiary_id, base_cents, rate, fixed_cents,
  unrounded, bound, reverses
on public.fee_events
for each statement execute function private.tg_append_only__refuse();

-- sql/65_fees/tables/fee_versions.sql
create table public.fee_versions (
  id             uuid         primary key default private.new_uuid(),
  fee_id         text         not null references public.fees (id) on delete restrict,
  scope          text         not null,
  percentage     numeric(6,4) not null,
  fixed_amount   bigint       not null,
  min_cents      bigint,
  max_cents      bigint,
  currency       text,
  active         boolean      not null,
  beneficiary_id uuid         not null references public.thinkers (id) on delete restrict,
  valid_from     timestamptz  not null default clock_timestamp()
);

comment on table public.fee_versions is
  'What a fee was from when on; written by a trigger with every change, so that each charge can be traced to its price.';
comment on column public.fee_versions.fixed_amount is 'The minor unit (cents) of the version''s currency, like min_cents and max_cents.';
comment on column public.fee_versions.valid_from is 'When the change was made; it holds until the next version of the fee.';

create index fee_versions_fee_id_idx on public.fee_versions (fee_id, valid_from);
create index fee_versions_beneficiary_id_idx on public.fee_versions (beneficiary_id);

alter table public.fee_versions enable row level security;

grant select on public.fee_versions to service_role, authenticated;

create policy "the signed-in see what the prices were"
  on public.fee_versions
  for select
  to authenticated
  using (true);

create trigger tg_fee_versions__refuse
before update or delete or truncate on public.fee_versions
for each statement execute function private.tg_append_only__refuse();

-- the first versions; later ones are written by tg_fees__keep_version
insert into public.fee_versions (
  fee_id, scope, percentage, fixed_amount, min_cents, max_cents, currency, active, beneficiary_id
)
select f.id, f.scope, f.percentage, f.fixed_amount, f.min_cents, f.max_cents, f.currency, f.active, f.beneficiary_id
from public.fees f;

-- sql/65_fees/functions/charge.sql
create function private.charge(scope text, subject_type text, subject_id text, base bigint, currency text)
returns void
language plpgsql -- which keeps the plan for the next one
volatile
set search_path = ''
as $$
begin
  insert into public.fee_events (
    fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, base_cents, rate, fixed_cents, unrounded, bound
  )
  select
    f.id, charge.subject_type, charge.subject_id, c.amount_cents, c.currency, f.beneficiary_id, c.base_cents, c.rate,
    c.fixed_cents, c.unrounded, c.bound
  from public.fees f
  cross join lateral private.fee_charges(f, coalesce(charge.base, 0), private.currency_code(charge.currency)) c
  where f.active and f.scope = charge.scope;
end;
$$;

comment on function private.charge is
  'Charges every active fee of a scope for a subject worth base in the currency''s minor unit (null: nothing). For triggers.';

-- sql/65_fees/functions/check_settlement_totals.sql
create function private.check_settlement_totals(settlements uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  wrong uuid;
begin
  -- who changes the events of one settlement at the same time waits here, and counts what the other one left
  perform from public.settlements s where s.id = any (check_settlement_totals.settlements) order by s.id for no key update;

  select s.id into wrong
  from public.settlements s
  left join lateral (
    select sum(e.amount_cents) as total, count(*) as events from public.fee_events e where e.settlement_id = s.id
  ) linked on true
  where s.id = any (check_settlement_totals.settlements)
    and case s.status when 'voided' then linked.events > 0 else s.total_cents <> coalesce(linked.total, 0) end
  limit 1;

  if found then
    raise check_violation using
      constraint = 'total_is_the_sum_of_its_fee_events',
      message = format('settlement %s violates constraint "total_is_the_sum_of_its_fee_events"', wrong);
  end if;
end;
$$;

comment on function private.check_settlement_totals is
  'Raises check_violation unless each of these settlements totals its fee events; a voided one has none.';

-- sql/65_fees/functions/currency_code.sql
create function private.currency_code(currency text)
returns text
language sql
immutable
strict
set search_path = ''
as $$
  select coalesce(nullif(left(upper(regexp_replace(currency, '\s', '', 'g')), 32), ''), 'XXX')
$$;

comment on function private.currency_code is
  'A currency as fees count it: upper case, without blanks; XXX (ISO 4217: no currency) where nothing is left of it.';

-- sql/65_fees/functions/due_fee_events.sql
create function private.due_fee_events(period_end timestamptz)
returns table (id uuid, beneficiary_id uuid, currency text, amount_cents bigint, reverses uuid, part numeric)
language sql
stable
rows 100000
set search_path = ''
as $$
  select
    e.id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses,
    div(
      sum(abs(e.amount_cents)) over (partition by e.beneficiary_id, e.currency order by e.id rows unbounded preceding),
      4000000000000000000
    )
  from public.fee_events e
  where e.settlement_id is null and e.created_at < due_fee_events.period_end
$$;

comment on function private.due_fee_events is
  'The fee events that are in no settlement and were written before a time. part numbers the settlements that a beneficiary and '
  'currency needs: one, unless somebody drives the amounts so high that a bigint cannot hold their sum, which must not keep '
  'everybody else from being paid.';

-- sql/65_fees/functions/due_months.sql
create function private.due_months()
returns setof date
language sql
stable
set search_path = ''
as $$
  select distinct date_trunc('month', e.created_at at time zone s.time_zone)::date as month
  from public.fee_events e
  cross join private.settings s
  where e.settlement_id is null
    and date_trunc('month', e.created_at at time zone s.time_zone) < date_trunc('month', now() at time zone s.time_zone)
  order by month
$$;

comment on function private.due_months is
  'The months that are over and have fee events in no settlement, as their first days, oldest first: the last month, and whichever '
  'was missed, was voided, or got a fee event after it was settled. Months of the time zone of private.settings.';

-- sql/65_fees/functions/fee_charges.sql
create function private.fee_charges(fee public.fees, base bigint, base_currency text)
returns table (
  amount_cents bigint,
  currency     text,
  base_cents   bigint,
  rate         numeric,
  fixed_cents  bigint,
  unrounded    numeric,
  bound        text
)
language plpgsql -- which keeps the plan for the next one
immutable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  with parts (currency, base, rate, fixed, is_whole) as (
    -- everything in one currency; nothing is nothing in any currency
    select coalesce(fee.currency, fee_charges.base_currency), fee_charges.base, fee.percentage, fee.fixed_amount, true
    where fee_charges.base = 0 or fee.currency is null or fee.currency = fee_charges.base_currency
    union all
    -- else each part in its own, and no bound: there is no rate at which to compare
    select part.*
    from (
      values (fee_charges.base_currency, fee_charges.base, fee.percentage, 0, false), (fee.currency, 0, 0, fee.fixed_amount, false)
    ) part
    where fee_charges.base <> 0 and fee.currency <> fee_charges.base_currency
  ),
  sums as (select p.*, p.base * p.rate + p.fixed as sum from parts p),
  bounded as (
    select s.*,
      case
        when s.is_whole and s.sum < fee.min_cents then 'minimum'
        when s.is_whole and s.sum > fee.max_cents then 'maximum'
      end as bound
    from sums s
  )
  select
    case b.bound when 'minimum' then fee.min_cents when 'maximum' then fee.max_cents else round(b.sum)::bigint end,
    b.currency, b.base, b.rate, b.fixed, b.sum, b.bound
  from bounded b
  -- what costs nothing leaves no trace
  where b.sum > 0 or b.bound is not null;
end;
$$;

comment on function private.fee_charges is
  'What a fee charges for something worth base in the currency''s minor unit (not negative): percentage plus fixed part, rounded '
  'once, half away from zero, and kept within the fee''s bounds. Where base is in another currency than the fee''s, the '
  'percentage is charged in the one and the fixed part in the other, without bounds. No row where nothing is charged.';

-- sql/65_fees/functions/get_settlement.sql
create function public.get_settlement(settlement_id uuid, after uuid default null, max_rows integer default 1000)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  settlement public.settlements;
  figures    jsonb;
  page       jsonb;
begin
  perform private.require_admin();
  select * into settlement from public.settlements s where s.id = get_settlement.settlement_id;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;

  select jsonb_build_object(
    'fee_events', count(*),
    'charged_cents', coalesce(sum(e.amount_cents) filter (where e.reverses is null), 0),
    'reversed_cents', coalesce(sum(e.amount_cents) filter (where e.reverses is not null), 0)
  )
  into figures
  from public.fee_events e
  where e.settlement_id = settlement.id;

  -- with more digits than a double holds, which is what most readers of JSON make of a number
  select coalesce(
    jsonb_agg(to_jsonb(e) || jsonb_build_object('unrounded', trim_scale(e.unrounded)::text) order by e.id), '[]'
  )
  into page
  from (
    select *
    from public.fee_events e
    where e.settlement_id = settlement.id and (get_settlement.after is null or e.id > get_settlement.after)
    order by e.id
    limit least(greatest(get_settlement.max_rows, 1), 10000)
  ) e;

  return private.settlement_json(settlement) || figures || jsonb_build_object('items', page);
end;
$$;

comment on function public.get_settlement is
  'One settlement with its figures (fee_events, charged_cents, reversed_cents) and, as items, its fee events in the order of their '
  'ids, which is that of time: max_rows of them, from 1 to 10000, after the one with the id `after`; unrounded is a text, with every '
  'digit. A voided settlement has none any more. Refuses: not_an_admin (403), settlement_not_found (404).';

grant execute on function public.get_settlement to service_role, authenticated;

-- sql/65_fees/functions/invoice_settlement.sql
create function public.invoice_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(invoice_settlement.settlement_id, 'invoiced')
$$;

comment on function public.invoice_settlement is
  'Notes that an open settlement is invoiced; no money is moved. Returns the settlement. Refuses: not_an_admin (403), '
  'settlement_not_found (404), settlement_move_refused (409, with the present status as detail).';

grant execute on function public.invoice_settlement to authenticated, service_role;

-- sql/65_fees/functions/list_fees.sql
create function public.list_fees()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(
    jsonb_agg(
      to_jsonb(f) || jsonb_build_object(
        'beneficiary_uid', private.uid_of(f.beneficiary_id),
        'versions', (
          select jsonb_agg(
            to_jsonb(v) || jsonb_build_object('beneficiary_uid', private.uid_of(v.beneficiary_id))
            order by v.valid_from desc, v.id desc
          )
          from public.fee_versions v
          where v.fee_id = f.id
        )
      )
      order by f.id
    ),
    '[]'
  )
  from public.fees f
$$;

comment on function public.list_fees is
  'The fees, and of each its versions, newest first: the first is what is in force. Refuses: not_an_admin (403).';

grant execute on function public.list_fees to service_role, authenticated;

-- sql/65_fees/functions/list_settlements.sql
create function public.list_settlements(
  beneficiary_uid text    default null,
  status          text    default null,
  max_rows        integer default 200
)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(jsonb_agg(private.settlement_json(s) order by s.period_from desc, s.created_at desc, s.id desc), '[]')
  from (
    select *
    from public.settlements s
    where (list_settlements.beneficiary_uid is null or s.beneficiary_id = private.thinker_id(list_settlements.beneficiary_uid))
      and (list_settlements.status is null or s.status = list_settlements.status)
    order by s.period_from desc, s.created_at desc, s.id desc
    limit least(greatest(list_settlements.max_rows, 1), 1000)
  ) s
$$;

comment on function public.list_settlements is
  'The settlements that fit every given filter, latest period first: max_rows of them, from 1 to 1000. Refuses: not_an_admin (403).';

grant execute on function public.list_settlements to service_role, authenticated;

-- sql/65_fees/functions/move_settlement.sql
create function private.move_settlement(settlement_id uuid, status text, reason text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  settlement public.settlements;
begin
  perform private.require_admin();

  -- which moves there are says the table's trigger, whoever moves it
  update public.settlements s
  set status = move_settlement.status, void_reason = move_settlement.reason
  where s.id = move_settlement.settlement_id
  returning * into settlement;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;

  return private.settlement_json(settlement);
end;
$$;

comment on function private.move_settlement is
  'Gives a settlement another status. Refuses: not_an_admin (403), settlement_not_found (404), settlement_move_refused (409).';

grant execute on function private.move_settlement to authenticated, service_role;

-- sql/65_fees/functions/pay_settlement.sql
create function public.pay_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(pay_settlement.settlement_id, 'paid')
$$;

comment on function public.pay_settlement is
  'Notes that an invoiced settlement is paid; no money is moved. Returns the settlement. Refuses: not_an_admin (403), '
  'settlement_not_found (404), settlement_move_refused (409, with the present status as detail).';

grant execute on function public.pay_settlement to authenticated, service_role;

-- sql/65_fees/functions/settle_due_months.sql
create function private.settle_due_months()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  month date;
  made  bigint := 0;
begin
  for month in select m from private.due_months() as m loop
    made := made + jsonb_array_length(public.settle_fees(month, (month + interval '1 month')::date));
  end loop;
  return made;
end;
$$;

comment on function private.settle_due_months is
  'Settles every month that is due (private.due_months), each for itself, oldest first. Returns how many settlements were made.';

-- sql/65_fees/functions/settle_fees.sql
create function public.settle_fees(period_from date, period_to date, dry_run boolean default false)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  period_end  timestamptz;
  settlements jsonb;
begin
  perform private.require_admin();
  -- in years that clients can read; a null or infinite date is in none
  if not coalesce(
    settle_fees.period_from >= '0001-01-01' and settle_fees.period_from < settle_fees.period_to
    and settle_fees.period_to < '10000-01-01',
    false
  ) then
    raise sqlstate 'PT400' using message = 'period_invalid';
  end if;
  select settle_fees.period_to::timestamp at time zone s.time_zone into period_end from private.settings s;

  if coalesce(settle_fees.dry_run, false) then
    select coalesce(jsonb_agg(to_jsonb(due) order by due.beneficiary_uid, due.currency), '[]') into settlements
    from (
      select
        null::uuid as id, e.beneficiary_id, private.uid_of(e.beneficiary_id) as beneficiary_uid,
        settle_fees.period_from, settle_fees.period_to, e.currency, sum(e.amount_cents) as total_cents,
        count(*) as fee_events, count(e.reverses) as reversals
      from private.due_fee_events(period_end) e
      group by e.beneficiary_id, e.currency, e.part
    ) due;
    return settlements;
  end if;

  -- one after the other; bookings go on, because they never look at settlements
  lock table public.settlements in share row exclusive mode;

  -- one statement, so that a settlement is the sum of exactly those fee events that were linked to it. What commits
  -- later is not seen here, and left for the next time
  with due as materialized (
    select * from private.due_fee_events(period_end)
  ),
  new as materialized (
    select private.new_uuid() as id, d.beneficiary_id, d.currency, d.part
    from due d
    group by d.beneficiary_id, d.currency, d.part
  ),
  linked as (
    update public.fee_events e
    set settlement_id = n.id
    from due d
    join new n on (n.beneficiary_id, n.currency, n.part) = (d.beneficiary_id, d.currency, d.part)
    where e.id = d.id and e.settlement_id is null
    returning e.settlement_id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses
  ),
  sums as (
    select
      l.settlement_id as id, l.beneficiary_id, l.currency,
      sum(l.amount_cents) as total_cents, count(*) as fee_events, count(l.reverses) as reversals
    from linked l
    group by l.settlement_id, l.beneficiary_id, l.currency
  ),
  made as (
    insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency)
    select s.id, s.beneficiary_id, settle_fees.period_from, settle_fees.period_to, s.total_cents, s.currency
    from sums s
    returning *
  )
  select
    coalesce(
      jsonb_agg(
        private.settlement_json(m::public.settlements)
          || jsonb_build_object('fee_events', s.fee_events, 'reversals', s.reversals)
        order by private.uid_of(m.beneficiary_id), m.currency
      ),
      '[]'
    )
  into settlements
  from made m
  join sums s on s.id = m.id;

  return settlements;
end;
$$;

comment on function public.settle_fees is
  'Settles every fee event that is in no settlement and was written before the period''s end: period_from until (not including) '
  'period_to, days in the time zone of private.settings. What an earlier period left, because it was committed late or that '
  'period was missed or voided, is settled with it. Writes one settlement a beneficiary and currency, and returns them with their '
  'fee_events and reversals (counts); with dry_run writes nothing, and returns what it would settle, with a null id. Run again, or '
  'by two at once, nothing is settled twice. Refuses: period_invalid (400), not_an_admin (403).';

grant execute on function public.settle_fees to authenticated, service_role;

-- sql/65_fees/functions/settlement_json.sql
create function private.settlement_json(settlement public.settlements)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(settlement) || jsonb_build_object('beneficiary_uid', private.uid_of(settlement.beneficiary_id))
$$;

comment on function private.settlement_json is 'A settlement as the functions return it: its columns, and the beneficiary''s uid.';

grant execute on function private.settlement_json to service_role, authenticated;

-- sql/65_fees/functions/void_settlement.sql
create function public.void_settlement(settlement_id uuid, reason text default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(void_settlement.settlement_id, 'voided', void_settlement.reason)
$$;

comment on function public.void_settlement is
  'Voids an open or invoiced settlement: it stays as it was, and its fee events are released, to be settled anew. Returns the '
  'settlement. Refuses: not_an_admin (403), settlement_not_found (404), settlement_move_refused (409, with the present status as '
  'detail).';

grant execute on function public.void_settlement to authenticated, service_role;

-- sql/65_fees/triggers/tg_fee_events__begin_unsettled.sql
create function private.tg_fee_events__begin_unsettled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using message = 'append_only', detail = 'a new fee event is in no settlement';
end;
$$;

comment on function private.tg_fee_events__begin_unsettled is 'A new fee event is in no settlement, whoever writes it: append_only (403).';

create trigger tg_fee_events__begin_unsettled
  before insert on public.fee_events
  for each row
  when (new.settlement_id is not null)
  execute function private.tg_fee_events__begin_unsettled();

-- sql/65_fees/triggers/tg_fee_events__total.sql
create function private.tg_fee_events__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.check_settlement_totals(
    array(
      select o.settlement_id from old_rows o where o.settlement_id is not null
      union
      select n.settlement_id from new_rows n where n.settlement_id is not null
    )
  );
  return null;
end;
$$;

comment on function private.tg_fee_events__total is
  'Whatever links fee events to a settlement, or releases them, leaves it with the total of its fee events.';

create trigger tg_fee_events__total
  after update on public.fee_events
  referencing old table as old_rows new table as new_rows
  for each statement
  execute function private.tg_fee_events__total();

-- sql/65_fees/triggers/tg_fees__keep_version.sql
create function private.tg_fees__keep_version()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) - 'id' - 'meta' end;
  after  jsonb := to_jsonb(new) - 'id' - 'meta';
begin
  if before is distinct from after then
    insert into public.fee_versions (
      fee_id, scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id
    )
    values (
      new.id, new.scope, new.percentage, new.fixed_amount, new.currency, new.min_cents, new.max_cents, new.active,
      new.beneficiary_id
    );
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'fee.changed', private.known_actor(), 'fee', new.id, jsonb_build_object('before', before, 'after', after)
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_fees__keep_version is 'Keeps every version of a fee, and writes the event fee.changed (before: null for a new fee). Notes in meta make no version.';

create trigger tg_fees__keep_version
  after insert or update on public.fees
  for each row
  execute function private.tg_fees__keep_version();

-- sql/65_fees/triggers/tg_mortgage_contracts__charge.sql
create function private.tg_mortgage_contracts__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  offered  jsonb;
  amount   bigint;
  currency text;
begin
  select o.loan, a.desired_loan, a.currency into offered, amount, currency
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = new.offer_id;

  -- the lender's own words, where they are an amount of money; else what the borrower asked for
  if jsonb_typeof(offered -> 'amount') = 'number' then
    if (offered ->> 'amount')::numeric between 0 and 9007199254740991 then
      amount := round((offered ->> 'amount')::numeric);
      currency := coalesce(case jsonb_typeof(offered -> 'currency') when 'string' then offered ->> 'currency' end, currency, 'EUR');
    end if;
  end if;

  perform private.charge('mortgage', 'mortgage_contract', new.id, amount, currency);
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__charge is
  'Charges the fees of a mortgage, of the accepted loan: the offer''s {amount, currency}, or the application''s desired loan.';

create trigger tg_mortgage_contracts__charge
  after insert on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__charge();

-- sql/65_fees/triggers/tg_settlements__move.sql
create function private.tg_settlements__move()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  movable text[] := array['status', 'invoiced_at', 'paid_at', 'voided_at', 'void_reason'];
begin
  if tg_op = 'INSERT' then
    if new.status <> 'open' then
      raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = 'none';
    end if;
    return new;
  end if;
  if to_jsonb(old) - movable <> to_jsonb(new) - movable then
    raise sqlstate 'PT403' using message = 'append_only', detail = 'of a settlement only the status changes';
  end if;
  if (old.status, new.status) not in (
    ('open', 'invoiced'), ('invoiced', 'paid'), ('open', 'voided'), ('invoiced', 'voided')
  ) then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = old.status;
  end if;

  new.invoiced_at := case new.status when 'invoiced' then now() else old.invoiced_at end;
  new.paid_at := case new.status when 'paid' then now() end;
  new.voided_at := case new.status when 'voided' then now() end;
  return new;
end;
$$;

comment on function private.tg_settlements__move is
  'Lets a settlement begin as open, and go from open to invoiced to paid, and from open or invoiced to voided; notes when. Refuses: '
  'settlement_move_refused (409, with the present status as detail), append_only (403) for any other change.';

create trigger tg_settlements__move
  before insert or update on public.settlements
  for each row
  execute function private.tg_settlements__move();

-- sql/65_fees/triggers/tg_settlements__release.sql
create function private.tg_settlements__release()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.fee_events e set settlement_id = null where e.settlement_id = new.id;
  return null;
end;
$$;

comment on function private.tg_settlements__release is 'Releases the fee events of a voided settlement, to be settled anew.';

create trigger tg_settlements__release
  after update of status on public.settlements
  for each row
  when (new.status = 'voided')
  execute function private.tg_settlements__release();

-- sql/65_fees/triggers/tg_settlements__total.sql
create function private.tg_settlements__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.check_settlement_totals(array[new.id]);
  return null;
end;
$$;

comment on function private.tg_settlements__total is
  'A new settlement totals its fee events: those that the same statement has linked to it.';

create trigger tg_settlements__total
  after insert on public.settlements
  for each row
  execute function private.tg_settlements__total();

-- sql/65_fees/triggers/tg_settlements__write_event.sql
create function private.tg_settlements__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    case new.status
      when 'open' then 'settlement.created'
      when 'invoiced' then 'settlement.invoiced'
      when 'paid' then 'settlement.paid'
      when 'voided' then 'settlement.voided'
    end,
    private.known_actor(),
    'settlement',
    new.id,
    jsonb_strip_nulls(
      jsonb_build_object(
        'beneficiary', private.uid_of(new.beneficiary_id),
        'periodFrom', new.period_from,
        'periodTo', new.period_to,
        'totalCents', new.total_cents,
        'currency', new.currency,
        'reason', left(new.void_reason, 1000)
      )
    )
  );
  return null;
end;
$$;

comment on function private.tg_settlements__write_event is
  'Writes the events settlement.created, settlement.invoiced, settlement.paid and settlement.voided.';

create trigger tg_settlements__write_event
  after insert or update of status on public.settlements
  for each row
  execute function private.tg_settlements__write_event();

-- sql/65_fees/triggers/tg_transfers__charge.sql
create function private.tg_transfers__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge('transfer', 'transfer', new.id, new.fiat_amount, new.fiat_currency);
  return null;
end;
$$;

comment on function private.tg_transfers__charge is
  'Charges the fees of a transfer, of its fiat amount. A correction (a negative amount) is charged nothing, and gives nothing back: '
  'who logs it is nobody to decide that.';

create trigger tg_transfers__charge
  after insert on public.transfers
  for each row
  when (new.fiat_amount >= 0)
  execute function private.tg_transfers__charge();

-- sql/65_fees/triggers/tg_voucher_bookings__charge.sql
create function private.tg_voucher_bookings__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge('voucher', 'voucher_booking', new.id, v.price_amount, v.price_currency)
  from public.vouchers v
  where v.id = new.voucher_id;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__charge is
  'Charges the fees of a booking, of the voucher''s price, in the transaction of the booking (specification, 3.2).';

create trigger tg_voucher_bookings__charge
  after insert on public.voucher_bookings
  for each row
  when (new.status = 'booked')
  execute function private.tg_voucher_bookings__charge();

-- sql/65_fees/triggers/tg_voucher_bookings__reverse.sql
create function private.tg_voucher_bookings__reverse()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, reverses)
  select c.fee_id, c.subject_type, c.subject_id, -c.amount_cents, c.currency, c.beneficiary_id, c.id
  from public.fee_events c
  where c.subject_type = 'voucher_booking' and c.subject_id = new.id and c.reverses is null
  on conflict (reverses) do nothing;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__reverse is
  'Takes back what was charged for a booking that is cancelled: a new row each, owed by whom the charge was owed to.';

create trigger tg_voucher_bookings__reverse
  after update of status on public.voucher_bookings
  for each row
  when (old.status = 'booked' and new.status = 'cancelled')
  execute function private.tg_voucher_bookings__reverse();

-- sql/65_fees/triggers/tg_vouchers__keep_price.sql
create function private.tg_vouchers__keep_price()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from public.voucher_bookings b where b.voucher_id = new.id and b.status = 'booked') then
    raise sqlstate 'PT409' using message = 'voucher_is_booked';
  end if;
  return new;
end;
$$;

comment on function private.tg_vouchers__keep_price is
  'The price of a voucher that is booked stays as it was charged. Refuses: voucher_is_booked (409).';

create trigger tg_vouchers__keep_price
  before update of price_amount, price_currency on public.vouchers
  for each row
  when ((old.price_amount, old.price_currency) is distinct from (new.price_amount, new.price_currency))
  execute function private.tg_vouchers__keep_price();

-- sql/70_jobs/tables/jobs.sql
create table private.jobs (
  name       text        primary key,
  schedule   text        not null,
  late_after interval    not null,
  does       text        not null,
  added_at   timestamptz not null default now(),

  constraint job_name_is_made_of_words check (name ~ '^[a-z]+(-[a-z]+)*$' and char_length(name) <= 50),
  constraint schedule_has_five_fields check (schedule ~ '^\S+( \S+){4}$'),
  constraint late_after_is_positive check (late_after > interval '0'),
  constraint what_it_does_is_said check (does <> '')
);

comment on table private.jobs is
  'What the clock does. The job a-b is the function private.job_a_b(), which returns how much it did. '
  'After a change of a schedule: select private.install_jobs().';
comment on column private.jobs.schedule is 'Minute, hour, day, month and weekday as cron has them, in UTC.';
comment on column private.jobs.late_after is 'The job is late when its last good run began longer ago.';
comment on column private.jobs.added_at is 'A job that never ran is late when it was added longer ago than late_after.';

alter table private.jobs enable row level security;

grant select on private.jobs to service_role;

insert into private.jobs (name, schedule, late_after, does) values
  -- at noon UTC the last day of the month is over in every time zone; three times, should the server be down on the first
  ('settle-fees-monthly', '30 12 1-3 * *', '32 days', 'Makes the settlements of the months that are over, once switched on.'),
  ('expire-vouchers', '*/5 * * * *', '15 minutes', 'Lets vouchers expire whose time is over and that nobody booked.'),
  ('presence-offline', '* * * * *', '5 minutes', 'Says offline for those who have been silent for more than a minute.'),
  -- hourly, because it gives up where somebody reads the log for long
  ('purge-old-events', '10 * * * *', '26 hours', 'Makes room for the events to come, and drops the months that are no longer kept.'),
  ('purge-idempotency-keys', '20 * * * *', '130 minutes', 'Forgets idempotency keys after 24 hours.'),
  ('cleanup-cron-history', '40 3 * * *', '26 hours', 'Deletes the logs of jobs that are older than 14 days.'),
  ('check-invariants', '0 4 * * *', '26 hours', 'Fails when an invariant is violated, and names it.');

-- sql/70_jobs/tables/job_runs.sql
create table private.job_runs (
  id          bigint      primary key generated by default as identity,
  job         text        not null references private.jobs (name) on delete cascade,
  started_at  timestamptz not null,
  finished_at timestamptz not null,
  done        bigint,
  error       text,

  constraint a_run_ends_after_it_starts check (finished_at >= started_at),
  constraint what_failed_did_nothing check (done is null or error is null)
);

comment on table private.job_runs is
  'Every run of a job, whoever started it. Written by private.run_job; cleanup-cron-history keeps 14 days.';
comment on column private.job_runs.done is
  'How many things the job did. Null when it failed, and when it did not begin because it was running elsewhere.';
comment on column private.job_runs.error is 'Why it failed; what it had done was undone.';

create index job_runs_job_idx on private.job_runs (job, started_at desc);

alter table private.job_runs enable row level security;

grant select on private.job_runs to service_role;

-- sql/70_jobs/functions/install_jobs.sql
create function private.install_jobs()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  scheduled bigint;
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron') then
    if current_setting('cron.database_name', true) is distinct from current_database() then
      raise notice 'Nothing is scheduled: pg_cron does not work on this database. %',
        'Set shared_preload_libraries = pg_cron and cron.database_name = ' || current_database()
        || ', restart, and select private.install_jobs(); or run jobs by hand: select private.run_job(name).';
      return 0;
    end if;
    create extension pg_cron with schema pg_catalog;
  end if;

  -- jobs of ours that are no more
  execute $query$
    select count(cron.unschedule(c.jobid))
    from cron.job c
    where c.username = current_user
      and c.database = current_database()
      and c.command like 'select private.run\_job(%'
      and c.jobname not in (select j.name from private.jobs j)
  $query$;
  execute $query$
    select count(cron.schedule(j.name, j.schedule, format('select private.run_job(%L)', j.name))) from private.jobs j
  $query$
  into scheduled;
  return scheduled;
exception
  when insufficient_privilege then
    raise notice 'Nothing is scheduled: %. As superuser: create extension pg_cron; grant usage on schema cron to %.',
      sqlerrm, quote_ident(current_user);
    return 0;
end;
$$;

comment on function private.install_jobs is
  'Schedules every job of private.jobs with pg_cron, under its name, and takes away those of ours that are not there any more. '
  'Can be repeated; a changed schedule is taken over. Where pg_cron does not work on this database it says in a notice what to '
  'do, and changes nothing. Returns how many are scheduled.';

select private.install_jobs();

-- sql/70_jobs/functions/job_check_invariants.sql
create function private.job_check_invariants()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  checked  bigint;
  violated text;
begin
  select count(*), string_agg(format('%s (%s)', i.name, i.violations), ', ' order by i.name) filter (where i.violations > 0)
  into checked, violated
  from stats.invariants i;

  if violated is not null then
    raise exception 'Violated: %', violated;
  end if;
  return checked;
end;
$$;

comment on function private.job_check_invariants is
  'Reads stats.invariants. Returns how many there are. Fails with the names of those that are violated, and how often.';

-- sql/70_jobs/functions/job_cleanup_cron_history.sql
create function private.job_cleanup_cron_history()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  kept_from constant timestamptz := now() - interval '14 days';
  of_jobs   bigint;
  of_cron   bigint := 0;
begin
  delete from private.job_runs r
  where r.started_at < kept_from
    and r.id not in (
      -- what stats.jobs tells stays: each job's last run, last good run and last failure
      select distinct on (l.job, l.done is null, l.error is null) l.id
      from private.job_runs l
      order by l.job, l.done is null, l.error is null, l.started_at desc, l.id desc
    );
  get diagnostics of_jobs = row_count;

  -- only there where pg_cron is
  if exists (
    select from pg_catalog.pg_namespace n where n.nspname = 'cron' and has_schema_privilege(n.oid, 'usage')
  ) then
    execute 'delete from cron.job_run_details d where coalesce(d.end_time, d.start_time) < $1' using kept_from;
    get diagnostics of_cron = row_count;
  end if;

  return of_jobs + of_cron;
end;
$$;

comment on function private.job_cleanup_cron_history is
  'Deletes what is older than 14 days of private.job_runs and of pg_cron''s log, but never a job''s last good run or last '
  'failure. Returns how many rows.';

-- sql/70_jobs/functions/job_expire_vouchers.sql
create function private.job_expire_vouchers()
returns bigint
language sql
set search_path = ''
as $$
  with expired as (
    update public.vouchers
    set status = 'expired'
    where id in (
      -- one that is just being booked can wait for the next run
      select v.id from public.vouchers v where v.status = 'issued' and v.valid_until < now() for update skip locked
    )
    returning 1
  )
  select count(*) from expired
$$;

comment on function private.job_expire_vouchers is
  'Lets vouchers expire that nobody booked while they were valid. Returns how many.';

-- sql/70_jobs/functions/job_presence_offline.sql
create function private.job_presence_offline()
returns bigint
language sql
set search_path = ''
as $$
  with silenced as (
    update public.presence_sessions
    set status = 'offline', silenced = true
    where id in (
      -- one whose heartbeat is just being written is not silent
      select s.id
      from public.presence_sessions s
      where s.status = 'online' and s.last_seen_at < now() - interval '1 minute'
      for update skip locked
    )
    returning 1
  )
  select count(*) from silenced
$$;

comment on function private.job_presence_offline is
  'Says offline for whoever has been silent for more than a minute; the next heartbeat brings the thinker back. Returns how many.';

-- sql/70_jobs/functions/job_purge_idempotency_keys.sql
create function private.job_purge_idempotency_keys()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  forgotten bigint;
begin
  delete from private.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics forgotten = row_count;
  return forgotten;
end;
$$;

comment on function private.job_purge_idempotency_keys is 'Forgets idempotency keys after 24 hours. Returns how many.';

-- sql/70_jobs/functions/job_purge_old_events.sql
create function private.job_purge_old_events()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  perform private.make_event_partitions();
  return private.drop_old_event_partitions((select s.events_kept from private.settings s));
end;
$$;

comment on function private.job_purge_old_events is
  'Makes the partitions for the events to come, and drops those of the months that private.settings.events_kept no longer '
  'keeps. Returns how many were dropped.';

-- sql/70_jobs/functions/job_settle_fees_monthly.sql
create function private.job_settle_fees_monthly()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  if not (select s.settles_on_schedule from private.settings s) then
    raise notice 'Switched off: update private.settings set settles_on_schedule = true.';
    return 0;
  end if;
  return private.settle_due_months();
end;
$$;

comment on function private.job_settle_fees_monthly is
  'Makes the settlements of every month that is over and has none, where private.settings.settles_on_schedule says so. Returns '
  'how many.';

-- sql/70_jobs/functions/run_job.sql
create function private.run_job(job text)
returns private.job_runs
language plpgsql
set search_path = ''
as $$
declare
  started_at constant timestamptz := clock_timestamp();
  done       bigint;
  error      text;
  run        private.job_runs;
begin
  if not exists (select from private.jobs j where j.name = run_job.job) then
    raise invalid_parameter_value using
      message = format('There is no job %L.', run_job.job),
      hint = (select 'The jobs are ' || string_agg(j.name, ', ' order by j.name) || '.' from private.jobs j);
  end if;

  if pg_try_advisory_xact_lock(hashtextextended('run_job:' || run_job.job, 0)) then
    begin
      execute format('select private.%I()', 'job_' || replace(run_job.job, '-', '_')) into strict done;
    exception
      when others or query_canceled then
        error := sqlerrm;
        raise warning '% failed: %', run_job.job, error;
    end;
  else
    raise notice '% is running elsewhere.', run_job.job;
  end if;

  insert into private.job_runs (job, started_at, finished_at, done, error)
  values (run_job.job, started_at, clock_timestamp(), done, error)
  returning * into run;
  return run;
end;
$$;

comment on function private.run_job is
  'Runs a job now, and returns what was noted in private.job_runs. A job that fails leaves nothing but its error there and a '
  'warning; one that is running elsewhere is left alone: neither done nor error. Refuses: a name that no job has (22023).';

-- sql/75_stats/stats.sql
create schema stats;

comment on schema stats is
  'What operators look at: views for dashboards. A figure is of a day, which begins in the time zone of private.settings; the views '
  'have the rights of whoever looks (security_invoker), and read nothing but the *_facts in private: columns without names and texts.';

grant usage on schema stats to service_role;

-- sql/75_stats/stats_reader.sql
-- roles are the whole server's: another database may have made it already
do $$
begin
  if to_regrole('stats_reader') is null then
    create role stats_reader login noinherit connection limit 10;
    alter role stats_reader set default_transaction_read_only = on;
    alter role stats_reader set statement_timeout = '60s';
    alter role stats_reader set idle_in_transaction_session_timeout = '60s';
    comment on role stats_reader is
      'Metabase, Grafana and the like: reads the views of the schema stats and nothing else. Give it a password to let it in.';
  end if;
end;
$$;

grant usage on schema stats to stats_reader;

-- what the views call, with the rights of whoever looks
grant execute on function private.currency_code, private.currency_exponent to service_role, stats_reader;

-- sql/75_stats/facts/application_facts.sql
create view private.application_facts
as
select a.status, a.desired_loan, a.currency, a.created_at
from public.mortgage_applications a;

comment on view private.application_facts is 'What figures need of mortgage applications.';

grant select on private.application_facts to service_role, stats_reader;

-- sql/75_stats/facts/booking_facts.sql
create view private.booking_facts
as
select b.voucher_id, b.status, b.slot_start, b.slot_end, b.created_at, b.cancelled_at
from public.voucher_bookings b;

comment on view private.booking_facts is 'What figures need of bookings.';

grant select on private.booking_facts to service_role, stats_reader;

-- sql/75_stats/facts/calendar_facts.sql
create view private.calendar_facts
as
select
  s.time_zone,
  today.day as today,
  -- ten years at most, whatever somebody dated back
  greatest(
    today.day - 3653,
    (
      coalesce(
        least(
          (select min(t.created_at) from public.thinkers t),
          (select min(v.created_at) from public.vouchers v),
          (select min(b.created_at) from public.voucher_bookings b),
          (select min(a.created_at) from public.mortgage_applications a),
          (select min(o.created_at) from public.mortgage_offers o),
          (select min(c.created_at) from public.mortgage_contracts c),
          (select min(t.created_at) from public.transfers t),
          (select min(f.created_at) from public.fee_events f),
          (select min(r.created_at) from public.telemetry_events r),
          (select min(e.created_at) from public.events e)
        ),
        now()
      ) at time zone s.time_zone
    )::date
  ) as first_day
from private.settings s
cross join lateral (select (now() at time zone s.time_zone)::date as day) today;

comment on view private.calendar_facts is
  'The portal''s time zone, the day that it is there, and the day of the portal''s first row; read by stats.days.';

grant select on private.calendar_facts to service_role, stats_reader;

-- sql/75_stats/facts/event_facts.sql
create view private.event_facts
as
select e.type, e.actor_id, e.created_at
from public.events e;

comment on view private.event_facts is
  'What figures need of events: columns that events_created_at_idx holds, so that no figure reads an event itself.';

grant select on private.event_facts to service_role, stats_reader;

-- sql/75_stats/facts/fee_event_facts.sql
create view private.fee_event_facts
as
select
  f.fee_id,
  f.beneficiary_id,
  f.currency,
  f.amount_cents,
  f.reverses is not null as is_reversal,
  f.settlement_id is not null as is_settled,
  f.created_at
from public.fee_events f;

comment on view private.fee_event_facts is 'What figures need of fee events.';

grant select on private.fee_event_facts to service_role, stats_reader;

-- sql/75_stats/facts/invariant_facts.sql
create view private.invariant_facts
as
select 'bookings_do_not_overlap' as name, count(*) as violations,
  'Active bookings that begin before an earlier one of the same voucher has ended.' as meaning
from (
  select
    b.slot_start < max(b.slot_end) over (
      partition by b.voucher_id order by b.slot_start, b.id rows between unbounded preceding and 1 preceding
    ) as overlaps_another
  from public.voucher_bookings b
  where b.status = 'booked'
) b
where b.overlaps_another

union all
select 'voucher_status_agrees_with_bookings', count(*),
  'Vouchers with an active booking that are not booked (or consumed), that are booked without one of theirs being active, or whose '
  'holder has none. (An issuer may issue a voucher as booked: it has no bookings at all.)'
from public.vouchers v
join (
  select b.voucher_id, count(*) filter (where b.status = 'booked') as active,
    array_agg(b.holder_id) filter (where b.status = 'booked') as holders
  from public.voucher_bookings b
  group by b.voucher_id
) b on b.voucher_id = v.id
where (b.active > 0 and v.status not in ('booked', 'consumed'))
  or (b.active = 0 and v.status = 'booked')
  or (v.status = 'booked' and b.active > 0 and not coalesce(v.holder_id = any (b.holders), false))

union all
select 'every_booking_is_charged_once', count(*),
  'Bookings that lack the charge of a fee in a currency, or have it twice. A fee counts where it was in force for an hour before '
  'and after: who books in the moment of a change pays the old or the new price. A booking that was written as cancelled has none.'
from public.voucher_bookings b
join public.vouchers v on v.id = b.voucher_id
join (
  select f.*, lead(f.valid_from, 1, 'infinity') over (partition by f.fee_id order by f.valid_from, f.id) as valid_to
  from public.fee_versions f
) f
  on f.active and f.scope = 'voucher'
  and f.valid_from < b.created_at - interval '1 hour' and f.valid_to > b.created_at + interval '1 hour'
cross join lateral (
  select v.price_currency as currency where v.price_amount > 0 and f.percentage > 0
  union
  select f.currency where f.fixed_amount > 0
  union
  select f.currency where f.min_cents > 0 and (coalesce(v.price_amount, 0) = 0 or v.price_currency = f.currency)
) expected
where (
  select count(*)
  from public.fee_events e
  where e.subject_type = 'voucher_booking' and e.subject_id = b.id and e.fee_id = f.fee_id and e.reverses is null
    and e.currency = expected.currency
) not in (1, case b.status when 'cancelled' then 0 else 1 end)

union all
select 'every_cancellation_is_reversed_once', count(*),
  'Charges of a cancelled booking that are not taken back exactly, and reversals of a charge whose booking stands.'
from public.fee_events c
left join public.voucher_bookings b on b.id = c.subject_id
left join public.fee_events r on r.reverses = c.id
where c.reverses is null and c.subject_type = 'voucher_booking'
  and (
    (b.status is distinct from 'booked') <> (r.id is not null)
    or (r.amount_cents, r.currency, r.beneficiary_id, r.fee_id, r.subject_type, r.subject_id)
      <> (-c.amount_cents, c.currency, c.beneficiary_id, c.fee_id, c.subject_type, c.subject_id)
  )

union all
select 'every_charge_has_its_subject', count(*),
  'Fee events for a booking, a transfer or a mortgage that is not there.'
from public.fee_events e
where not case e.subject_type
  when 'voucher_booking' then exists (select from public.voucher_bookings b where b.id = e.subject_id)
  when 'transfer' then exists (select from public.transfers t where t.id = e.subject_id)
  when 'mortgage_contract' then exists (select from public.mortgage_contracts c where c.id = e.subject_id)
end

union all
select 'settlements_total_their_fee_events', count(*),
  'Settlements whose total is not the sum of their fee events; voided ones that still have some.'
from public.settlements s
left join (
  select e.settlement_id, sum(e.amount_cents) as total from public.fee_events e group by e.settlement_id
) e on e.settlement_id = s.id
where case s.status when 'voided' then e.settlement_id is not null else s.total_cents <> coalesce(e.total, 0) end

union all
select 'no_fee_event_is_in_two_settlements', count(*),
  'Charges, or their reversals, that were settled more than once, in whichever rows; and fee events in a settlement of somebody '
  'else or another currency.'
from (
  select from public.fee_events e
  where e.settlement_id is not null
  group by e.fee_id, e.subject_type, e.subject_id, e.currency, e.reverses
  having count(*) > 1
  union all
  select from public.fee_events e
  join public.settlements s on s.id = e.settlement_id
  where (s.beneficiary_id, s.currency) <> (e.beneficiary_id, e.currency)
) twice

union all
select 'every_accepted_offer_has_one_contract', count(*),
  'Accepted mortgage offers without a contract, and contracts of an offer that is not accepted.'
from public.mortgage_offers o
full join public.mortgage_contracts c on c.offer_id = o.id
where (o.status = 'accepted') <> (c.id is not null)

union all
select 'every_write_has_its_event', count(*),
  'Vouchers, bookings, cancellations, documents, applications, offers, accepted offers, signed contracts, transfers, reports of '
  'pages and settlements whose events are not as many as what was done to them, as long as events of their time are kept. '
  '(Heartbeats and the like leave no row of their own to compare with.)'
from (
  select 'voucher.issue' as type, v.id, v.created_at, 1 as times from public.vouchers v
  union all select 'voucher.book', b.id, b.created_at, 1 from public.voucher_bookings b
  union all select 'voucher.cancel', b.id, b.cancelled_at, 1 from public.voucher_bookings b where b.status = 'cancelled'
  union all select 'contract.upload', c.id::text, c.created_at, 1 from public.contracts c
  union all select 'mortgage.application', a.id, a.created_at, 1 from public.mortgage_applications a
  union all select 'mortgage.offer', o.id, o.created_at, 1 from public.mortgage_offers o
  union all select 'mortgage.accept', c.offer_id, c.created_at, 1 from public.mortgage_contracts c
  union all
  select 'mortgage.sign', c.id, least(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at),
    num_nonnulls(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at)
  from public.mortgage_contracts c
  union all select 'transfer.logged', t.id, t.created_at, 1 from public.transfers t
  union all select 'telemetry.event', t.id, t.created_at, 1 from public.telemetry_events t
  union all select 'settlement.created', s.id::text, s.created_at, 1 from public.settlements s
  union all select 'settlement.invoiced', s.id::text, s.invoiced_at, 1 from public.settlements s
  union all select 'settlement.paid', s.id::text, s.paid_at, 1 from public.settlements s
  union all select 'settlement.voided', s.id::text, s.voided_at, 1 from public.settlements s
) written
left join (
  select e.type, e.subject_id, count(*) as number
  from public.events e
  -- most of the log, and nothing of the above
  where e.type not like 'presence.%'
  group by e.type, e.subject_id
) logged on logged.type = written.type and logged.subject_id = written.id
-- what was not done yet has no time
where written.created_at > now() - (select s.events_kept from private.settings s)
  and coalesce(logged.number, 0) <> written.times;

comment on view private.invariant_facts is 'What stats.invariants shows.';

grant select on private.invariant_facts to service_role, stats_reader;

-- sql/75_stats/facts/job_facts.sql
create view private.job_facts
as
select
  j.name,
  j.does,
  j.schedule,
  greatest(good.started_at, bad.started_at) as last_run_at,
  good.started_at as last_good_run_at,
  coalesce(good.started_at, j.added_at) < now() - j.late_after as is_late,
  good.done as last_done,
  bad.started_at as last_error_at,
  bad.error as last_error
from private.jobs j
left join lateral (
  select r.started_at, r.done
  from private.job_runs r
  where r.job = j.name and r.done is not null
  order by r.started_at desc
  limit 1
) good on true
left join lateral (
  select r.started_at, r.error
  from private.job_runs r
  where r.job = j.name and r.error is not null
  order by r.started_at desc
  limit 1
) bad on true;

comment on view private.job_facts is 'What stats.jobs shows.';

grant select on private.job_facts to service_role, stats_reader;

-- sql/75_stats/facts/offer_facts.sql
create view private.offer_facts
as
select o.status, o.interest_rate, o.created_at, c.created_at as accepted_at
from public.mortgage_offers o
left join public.mortgage_contracts c on c.offer_id = o.id;

comment on view private.offer_facts is
  'What figures need of mortgage offers; an offer is accepted when its contract is made.';

grant select on private.offer_facts to service_role, stats_reader;

-- sql/75_stats/facts/presence_facts.sql
create view private.presence_facts
as
select
  s.pair_code,
  s.status = 'online' and s.last_seen_at > now() - interval '1 minute' as is_online
from public.presence_sessions s;

comment on view private.presence_facts is
  'What figures need of presence: who was seen in the last minute and did not say goodbye is online (specification, 2.2).';

grant select on private.presence_facts to service_role, stats_reader;

-- sql/75_stats/facts/settlement_facts.sql
create view private.settlement_facts
as
select s.id, s.beneficiary_id, s.period_from, s.period_to, s.total_cents, s.currency, s.status, s.created_at
from public.settlements s;

comment on view private.settlement_facts is 'What figures need of settlements.';

grant select on private.settlement_facts to service_role, stats_reader;

-- sql/75_stats/facts/telemetry_facts.sql
create view private.telemetry_facts
as
select t.type ~* 'error|fail' as is_error, t.created_at
from public.telemetry_events t;

comment on view private.telemetry_facts is
  'What figures need of what pages report: whether its type speaks of an error, as GET /api/autofix/status reads it.';

grant select on private.telemetry_facts to service_role, stats_reader;

-- sql/75_stats/facts/thinker_facts.sql
create view private.thinker_facts
as
select t.id, t.public_id as uid, t.created_at
from public.thinkers t;

comment on view private.thinker_facts is 'What figures need of thinkers: when they came, and the uid of a beneficiary.';

grant select on private.thinker_facts to service_role, stats_reader;

-- sql/75_stats/facts/transfer_facts.sql
create view private.transfer_facts
as
select t.direction, t.network, t.fiat_amount, t.fiat_currency, t.created_at
from public.transfers t;

comment on view private.transfer_facts is 'What figures need of transfers.';

grant select on private.transfer_facts to service_role, stats_reader;

-- sql/75_stats/facts/voucher_facts.sql
create view private.voucher_facts
as
select
  v.id,
  t.id as template_id,
  t.title as template_title,
  v.status,
  v.price_amount,
  v.price_currency,
  v.valid_from,
  v.valid_until,
  v.duration_minutes,
  -- as in private.slots_of: by the hour from valid_from, as long as a whole appointment fits in
  greatest(floor((date_part('epoch', v.valid_until - v.valid_from) / 60 - v.duration_minutes) / 60) + 1, 0) as slots,
  v.created_at
from public.vouchers v
left join public.voucher_templates t on t.id = v.terms ->> 'template';

comment on view private.voucher_facts is
  'What figures need of vouchers: the template that their terms name (null where none of that id is there), price, window and slots.';

grant select on private.voucher_facts to service_role, stats_reader;

-- sql/75_stats/views/stats.days.sql
create view stats.days
with (security_invoker = true)
as
select
  day::date as day,
  -- right after the last moment of the day before, because a clock that is changed shows midnight twice, or not at all
  (day - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as starts_at,
  (day + interval '1 day' - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as ends_at
from private.calendar_facts c
-- of times without a zone, so that a day of 23 or 25 hours is one day
cross join generate_series(c.first_day::timestamp, c.today::timestamp, interval '1 day') as day;

comment on view stats.days is
  'Every day from the portal''s first row to today, ten years at most. With `where day between ...` the views by day read no more.';
comment on column stats.days.starts_at is
  'The first moment of the day in the time zone of private.settings; the ends_at of the day before is the same.';

grant select on stats.days to service_role, stats_reader;

-- sql/75_stats/views/stats.applications_by_status.sql
create view stats.applications_by_status
with (security_invoker = true)
as
select a.status, count(*) as applications
from private.application_facts a
group by a.status;

comment on view stats.applications_by_status is 'How many mortgage applications there are at present, by their status.';

grant select on stats.applications_by_status to service_role, stats_reader;

-- sql/75_stats/views/stats.bookings_by_day.sql
create view stats.bookings_by_day
with (security_invoker = true)
as
select
  d.day,
  (select count(*) from private.voucher_facts v where v.created_at >= d.starts_at and v.created_at < d.ends_at) as issued,
  (select count(*) from private.booking_facts b where b.created_at >= d.starts_at and b.created_at < d.ends_at) as bookings,
  (
    select count(*) from private.booking_facts b where b.cancelled_at >= d.starts_at and b.cancelled_at < d.ends_at
  ) as cancellations
from stats.days d;

comment on view stats.bookings_by_day is
  'Vouchers issued, appointments booked and appointments cancelled on each day, zeros included (specification, 2.2).';
comment on column stats.bookings_by_day.bookings is 'What was booked on that day, though it may have been cancelled since.';

grant select on stats.bookings_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.errors_by_day.sql
create view stats.errors_by_day
with (security_invoker = true)
as
select d.day, r.reports, r.errors
from stats.days d
cross join lateral (
  select count(*) as reports, count(*) filter (where r.is_error) as errors
  from private.telemetry_facts r
  where r.created_at >= d.starts_at and r.created_at < d.ends_at
) r;

comment on view stats.errors_by_day is 'What the portal''s pages reported on each day, and how much of it were errors; zeros included.';

grant select on stats.errors_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.events_by_day.sql
create view stats.events_by_day
with (security_invoker = true)
as
select d.day, e.type, e.events
from stats.days d
cross join lateral (
  select e.type, count(*) as events
  from private.event_facts e
  where e.created_at >= d.starts_at and e.created_at < d.ends_at
  group by e.type
) e;

comment on view stats.events_by_day is 'How many events of each type there were on each day, as far back as events are kept.';

grant select on stats.events_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.fees_by_day.sql
-- a barrier, because a reader's own function in a condition would be shown the uids of all thinkers
create view stats.fees_by_day
with (security_invoker = true, security_barrier = true)
as
select
  d.day, f.fee_id, b.uid as beneficiary_uid, f.currency, private.currency_exponent(f.currency) as decimals,
  f.fee_events, f.charged_cents, f.reversed_cents,
  f.charged_cents + f.reversed_cents as accrued_cents,
  f.settled_cents,
  f.charged_cents + f.reversed_cents - f.settled_cents as open_cents
from stats.days d
cross join lateral (
  select
    f.fee_id,
    f.beneficiary_id,
    f.currency,
    count(*) as fee_events,
    coalesce(sum(f.amount_cents) filter (where not f.is_reversal), 0) as charged_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_reversal), 0) as reversed_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_settled), 0) as settled_cents
  from private.fee_event_facts f
  where f.created_at >= d.starts_at and f.created_at < d.ends_at
  group by f.fee_id, f.beneficiary_id, f.currency
) f
join private.thinker_facts b on b.id = f.beneficiary_id;

comment on view stats.fees_by_day is
  'What was charged and taken back on each day, by fee, beneficiary and currency. Amounts are in the currency''s minor unit.';
comment on column stats.fees_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.fees_by_day.reversed_cents is 'What was taken back: not positive.';
comment on column stats.fees_by_day.accrued_cents is 'Charged and reversed together.';
comment on column stats.fees_by_day.settled_cents is 'The part of it that is in a settlement by now, whatever its status; the rest is open_cents.';

grant select on stats.fees_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.invariants.sql
create view stats.invariants
with (security_invoker = true)
as
select i.name, i.violations, i.meaning
from private.invariant_facts i;

comment on view stats.invariants is
  'What must always be true, one row a rule: its name, how many rows break it (0), and what would break it.';

grant select on stats.invariants to service_role, stats_reader;

-- sql/75_stats/views/stats.jobs.sql
create view stats.jobs
with (security_invoker = true)
as
select
  j.name, j.does, j.schedule, j.last_run_at, j.last_good_run_at, j.is_late, j.last_done, j.last_error_at, j.last_error,
  case
    when j.last_error_at = j.last_run_at then 'failed'
    when j.is_late then 'late'
    when j.last_run_at is null then 'waiting'
    else 'good'
  end as state
from private.job_facts j
order by j.name;

comment on view stats.jobs is 'Each job: when it last ran, whether it is late, its last error, and its state in a word.';
comment on column stats.jobs.last_good_run_at is 'When the last run began that did not fail.';
comment on column stats.jobs.is_late is 'True when that is longer ago than the job may wait; for one that never ran well, when it was added.';
comment on column stats.jobs.last_done is 'How many things the last good run did.';
comment on column stats.jobs.state is
  'failed: its last run did; late: it should have run well since; waiting: it is new, and had no time to run yet; good otherwise.';

grant select on stats.jobs to service_role, stats_reader;

-- sql/75_stats/views/stats.mortgages_by_day.sql
create view stats.mortgages_by_day
with (security_invoker = true)
as
select
  d.day,
  (
    select count(*) from private.application_facts a where a.created_at >= d.starts_at and a.created_at < d.ends_at
  ) as applications,
  (select count(*) from private.offer_facts o where o.created_at >= d.starts_at and o.created_at < d.ends_at) as offers,
  (select count(*) from private.offer_facts o where o.accepted_at >= d.starts_at and o.accepted_at < d.ends_at) as accepted
from stats.days d;

comment on view stats.mortgages_by_day is 'Mortgages applied for, offered and accepted on each day, zeros included.';

grant select on stats.mortgages_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.offers_by_day.sql
create view stats.offers_by_day
with (security_invoker = true)
as
select d.day, o.*
from stats.days d
cross join lateral (
  select
    o.status,
    count(*) as offers,
    count(o.interest_rate) as rates,
    sum(o.interest_rate) as rates_total,
    min(o.interest_rate) as lowest_rate,
    max(o.interest_rate) as highest_rate
  from private.offer_facts o
  where o.created_at >= d.starts_at and o.created_at < d.ends_at
  group by o.status
) o;

comment on view stats.offers_by_day is 'The mortgage offers made on each day, by what became of them since.';
comment on column stats.offers_by_day.rates is 'How many of them name an interest rate; rates_total / rates is the average.';
comment on column stats.offers_by_day.rates_total is 'The sum of the interest rates, fractions a year: 0.031 is 3.1 percent.';

grant select on stats.offers_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.owed.sql
-- a barrier, because a reader's own function in a condition would be shown the uids of all thinkers
create view stats.owed
with (security_invoker = true, security_barrier = true)
as
select
  b.uid as beneficiary_uid, o.currency, private.currency_exponent(o.currency) as decimals,
  o.unsettled_cents, o.open_cents, o.invoiced_cents, o.paid_cents,
  o.unsettled_cents + o.open_cents + o.invoiced_cents as owed_cents
from (
  select
    due.beneficiary_id,
    due.currency,
    coalesce(sum(due.cents) filter (where due.status = 'unsettled'), 0) as unsettled_cents,
    coalesce(sum(due.cents) filter (where due.status = 'open'), 0) as open_cents,
    coalesce(sum(due.cents) filter (where due.status = 'invoiced'), 0) as invoiced_cents,
    coalesce(sum(due.cents) filter (where due.status = 'paid'), 0) as paid_cents
  from (
    select f.beneficiary_id, f.currency, 'unsettled' as status, sum(f.amount_cents) as cents
    from private.fee_event_facts f
    where not f.is_settled
    group by f.beneficiary_id, f.currency
    union all
    select s.beneficiary_id, s.currency, s.status, sum(s.total_cents)
    from private.settlement_facts s
    where s.status <> 'voided'
    group by s.beneficiary_id, s.currency, s.status
  ) due
  group by due.beneficiary_id, due.currency
) o
join private.thinker_facts b on b.id = o.beneficiary_id;

comment on view stats.owed is
  'What is owed to whom at present, of all time, by currency. Amounts are in the currency''s minor unit, negative where more was taken '
  'back than charged. What a voided settlement released is unsettled again.';
comment on column stats.owed.unsettled_cents is 'Fee events in no settlement.';
comment on column stats.owed.open_cents is 'Settlements that did not go out yet.';
comment on column stats.owed.invoiced_cents is 'Settlements that went out and were not paid.';
comment on column stats.owed.owed_cents is 'Unsettled, open and invoiced together.';

grant select on stats.owed to service_role, stats_reader;

-- sql/75_stats/views/stats.pair_codes.sql
create view stats.pair_codes
with (security_invoker = true)
as
select p.pair_code, count(*) as sessions, count(*) filter (where p.is_online) as online
from private.presence_facts p
where p.pair_code is not null
group by p.pair_code;

comment on view stats.pair_codes is
  'How many thinkers last came with each pair code, and how many of them are online (specification, 2.2).';

grant select on stats.pair_codes to service_role, stats_reader;

-- sql/75_stats/views/stats.presence_by_day.sql
create view stats.presence_by_day
with (security_invoker = true)
as
select d.day, e.thinkers, e.heartbeats, e.matches, t.new_thinkers
from stats.days d
cross join lateral (
  select
    -- whom a job finds silent after midnight was there before it
    count(distinct e.actor_id) filter (where e.type <> 'presence.offline') as thinkers,
    count(*) filter (where e.type = 'presence.heartbeat') as heartbeats,
    count(*) filter (where e.type = 'presence.match') as matches
  from private.event_facts e
  where e.created_at >= d.starts_at and e.created_at < d.ends_at and e.type like 'presence.%'
) e
cross join lateral (
  select count(*) as new_thinkers
  from private.thinker_facts t
  where t.created_at >= d.starts_at and t.created_at < d.ends_at
) t;

comment on view stats.presence_by_day is
  'Who was there on each day, zeros included; as far back as events are kept (private.settings.events_kept).';
comment on column stats.presence_by_day.thinkers is 'Different thinkers of whom there is any event of presence but that they went offline.';
comment on column stats.presence_by_day.matches is 'How often a thinker came into a room: twice where two find each other.';
comment on column stats.presence_by_day.new_thinkers is 'Thinkers who were seen, or named, for the first time.';

grant select on stats.presence_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.presence_now.sql
create view stats.presence_now
with (security_invoker = true)
as
select count(*) as online
from private.presence_facts p
where p.is_online;

comment on view stats.presence_now is 'How many thinkers are online: one row (specification, 2.2).';

grant select on stats.presence_now to service_role, stats_reader;

-- sql/75_stats/views/stats.requested_by_day.sql
create view stats.requested_by_day
with (security_invoker = true)
as
select d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.applications, r.amount_cents
from stats.days d
cross join lateral (
  select a.currency, count(*) as applications, sum(a.desired_loan) as amount_cents
  from private.application_facts a
  where a.created_at >= d.starts_at and a.created_at < d.ends_at and a.currency is not null
  group by a.currency
) r;

comment on view stats.requested_by_day is 'The loans asked for on each day, by currency; applications without an amount are left out.';
comment on column stats.requested_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.requested_by_day.amount_cents is 'The currency''s minor unit.';

grant select on stats.requested_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.revenue_by_day.sql
create view stats.revenue_by_day
with (security_invoker = true)
as
select d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.bookings, r.amount_cents
from stats.days d
cross join lateral (
  select v.price_currency as currency, count(*) as bookings, sum(v.price_amount) as amount_cents
  from private.booking_facts b
  join private.voucher_facts v on v.id = b.voucher_id
  where b.created_at >= d.starts_at and b.created_at < d.ends_at
    and b.status = 'booked' and v.price_currency is not null
  group by v.price_currency
) r;

comment on view stats.revenue_by_day is
  'The prices of the bookings of each day that stand, by currency; what is cancelled later leaves its day. It is the issuers'' '
  'revenue: the portal''s own is in stats.fees_by_day.';
comment on column stats.revenue_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.revenue_by_day.amount_cents is 'The currency''s minor unit.';

grant select on stats.revenue_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.settlements.sql
-- a barrier, because a reader's own function in a condition would be shown the uids of all thinkers
create view stats.settlements
with (security_invoker = true, security_barrier = true)
as
select
  s.id, b.uid as beneficiary_uid, s.period_from, s.period_to, s.total_cents, s.currency,
  private.currency_exponent(s.currency) as decimals, s.status, s.created_at
from private.settlement_facts s
join private.thinker_facts b on b.id = s.beneficiary_id;

comment on view stats.settlements is 'Every settlement: who is owed how much for which period, and what became of it.';
comment on column stats.settlements.period_to is 'The first day that no longer belongs to the period.';
comment on column stats.settlements.total_cents is 'The currency''s minor unit; a voided settlement keeps its total.';
comment on column stats.settlements.decimals is 'Of the currency''s minor unit.';

grant select on stats.settlements to service_role, stats_reader;

-- sql/75_stats/views/stats.transfers_by_day.sql
create view stats.transfers_by_day
with (security_invoker = true)
as
select
  c.day, c.network, c.currency, private.currency_exponent(c.currency) as decimals,
  c.transfers, c.in_cents, c.out_cents, c.in_cents - c.out_cents as net_cents
from (
  select
    d.day, t.network, private.currency_code(t.fiat_currency) as currency,
    sum(t.transfers) as transfers, coalesce(sum(t.in_cents), 0) as in_cents, coalesce(sum(t.out_cents), 0) as out_cents
  from stats.days d
  -- added up as they were written first, because the code of a currency takes longer than the sum
  cross join lateral (
    select
      t.network,
      t.fiat_currency,
      count(*) as transfers,
      sum(t.fiat_amount) filter (where t.direction = 'in') as in_cents,
      sum(t.fiat_amount) filter (where t.direction = 'out') as out_cents
    from private.transfer_facts t
    where t.created_at >= d.starts_at and t.created_at < d.ends_at
    group by t.network, t.fiat_currency
  ) t
  group by d.day, t.network, private.currency_code(t.fiat_currency)
) c;

comment on view stats.transfers_by_day is
  'What was logged in and out on each day, by network (null where none was named) and currency as fees count it (private.currency_code; '
  'specification, 2.2). A negative transfer is a correction, and takes off its own direction.';
comment on column stats.transfers_by_day.decimals is 'Of the currency''s minor unit.';
comment on column stats.transfers_by_day.net_cents is 'In without out; the currency''s minor unit, like both.';

grant select on stats.transfers_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.utilisation_by_day.sql
create view stats.utilisation_by_day
with (security_invoker = true)
as
select
  d.day,
  u.template_id,
  u.title,
  round(sum(u.offered)::numeric, 2) as offered_minutes,
  round(sum(u.booked)::numeric, 2) as booked_minutes
from stats.days d
cross join lateral (
  -- what lies in slots until the day's end, without what lies in slots until its beginning
  select
    v.template_id,
    v.template_title as title,
    sum(
      edge.sign * case
        -- appointments of an hour and more touch, or overlap; shorter ones leave the rest of each hour out
        when v.duration_minutes >= 60 then least(edge.minutes, (v.slots - 1) * 60 + v.duration_minutes)
        when edge.minutes >= v.slots * 60 then v.slots * v.duration_minutes
        else floor(edge.minutes / 60) * v.duration_minutes + least(edge.minutes - floor(edge.minutes / 60) * 60, v.duration_minutes)
      end
    ) as offered,
    0 as booked
  from private.voucher_facts v
  cross join lateral (
    values
      (1, greatest(date_part('epoch', d.ends_at - v.valid_from) / 60, 0)),
      (-1, greatest(date_part('epoch', d.starts_at - v.valid_from) / 60, 0))
  ) edge (sign, minutes)
  where tstzrange(v.valid_from, v.valid_until) && tstzrange(d.starts_at, d.ends_at) and v.slots > 0 and v.status <> 'cancelled'
  group by v.template_id, v.template_title

  union all

  select
    v.template_id, v.template_title, 0,
    sum(date_part('epoch', least(b.slot_end, d.ends_at) - greatest(b.slot_start, d.starts_at)) / 60)
  from private.booking_facts b
  -- offset 0: looked up one by one, because the planner, which cannot know how few bookings a day has, would read all vouchers
  cross join lateral (select * from private.voucher_facts v where v.id = b.voucher_id offset 0) v
  where tstzrange(b.slot_start, b.slot_end) && tstzrange(d.starts_at, d.ends_at) and b.status = 'booked' and v.status <> 'cancelled'
  group by v.template_id, v.template_title
) u
group by d.day, u.template_id, u.title
having sum(u.offered) > 0 or sum(u.booked) > 0;

comment on view stats.utilisation_by_day is
  'How many minutes vouchers offered on each day, and how many of them were booked, by template (null: none that is known). '
  'Utilisation of a period is the one sum through the other. A template has no row on a day without both.';
comment on column stats.utilisation_by_day.offered_minutes is
  'Minutes of that day that lie in a slot of a voucher that is not cancelled; minutes in which slots overlap count once.';
comment on column stats.utilisation_by_day.booked_minutes is 'Minutes of that day in appointments that stand, of a voucher that is not cancelled.';

grant select on stats.utilisation_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.vouchers_by_status.sql
create view stats.vouchers_by_status
with (security_invoker = true)
as
select v.status, count(*) as vouchers
from private.voucher_facts v
group by v.status;

comment on view stats.vouchers_by_status is 'How many vouchers there are at present, by their status.';

grant select on stats.vouchers_by_status to service_role, stats_reader;

-- sql/75_stats/functions/fee_stats.sql
create function public.fee_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period  record;
  charged jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(fee_stats.from_day, fee_stats.to_day);

  with by_day as materialized (
    select * from stats.fees_by_day f where f.day between period.from_day and period.to_day
  ),
  used as (
    select f.currency from by_day f group by f.currency order by sum(f.fee_events) desc, f.currency limit 24
  )
  select jsonb_build_object(
    'charged', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.beneficiary_uid, c.currency), '[]')
      from (
        select
          f.beneficiary_uid, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.accrued_cents) as accrued_cents,
          sum(f.settled_cents) as settled_cents, sum(f.open_cents) as open_cents
        from by_day f
        group by f.beneficiary_uid, f.currency, f.decimals
        order by fee_events desc, f.beneficiary_uid, f.currency
        limit 100
      ) c
    ),
    'fees', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.fee_id, c.currency), '[]')
      from (
        select f.fee_id, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.accrued_cents) as amount_cents
        from by_day f
        group by f.fee_id, f.currency, f.decimals
        order by fee_events desc, f.fee_id, f.currency
        limit 100
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.day, c.currency), '[]')
      from (
        select
          f.day, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.charged_cents) as charged_cents,
          sum(f.reversed_cents) as reversed_cents, sum(f.accrued_cents) as accrued_cents
        from by_day f
        where f.currency in (select u.currency from used u)
        group by f.day, f.currency, f.decimals
      ) c
    )
  )
  into charged;

  return period.answer || charged || jsonb_build_object(
    'owed', (
      select coalesce(jsonb_agg(to_jsonb(o) order by o.owed_cents desc, o.beneficiary_uid, o.currency), '[]')
      from (
        select * from stats.owed o order by o.owed_cents desc, o.beneficiary_uid, o.currency limit 100
      ) o
    )
  );
end;
$$;

comment on function public.fee_stats is
  'The figures of fees and settlements for a period of days (private.stats_period): {from_day, to_day, time_zone, owed (stats.owed, at present), '
  'charged (by beneficiary and currency: accrued, settled, open), fees (by fee and currency), days (by currency)}; at most 100 rows of '
  'each, and days of the 24 most used currencies. Amounts are in the currency''s minor unit. '
  'Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.fee_stats to authenticated, service_role;

-- sql/75_stats/functions/mortgage_stats.sql
create function public.mortgage_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period record;
  offers jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(mortgage_stats.from_day, mortgage_stats.to_day);

  select jsonb_build_object(
    'offers', jsonb_build_object(
      'open', coalesce(sum(o.offers) filter (where o.status = 'open'), 0),
      'accepted', coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0),
      'withdrawn', coalesce(sum(o.offers) filter (where o.status = 'withdrawn'), 0)
    ),
    'acceptance_rate', round(coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0) / nullif(sum(o.offers), 0), 4),
    'interest', jsonb_build_object(
      'offers', coalesce(sum(o.rates), 0),
      'average', round(sum(o.rates_total) / nullif(sum(o.rates), 0), 6),
      'minimum', min(o.lowest_rate),
      'maximum', max(o.highest_rate)
    )
  )
  into offers
  from stats.offers_by_day o
  where o.day between period.from_day and period.to_day;

  return period.answer || offers || jsonb_build_object(
    'applications', (
      select jsonb_object_agg(known.status, coalesce(a.applications, 0))
      from unnest(array['open', 'offered', 'accepted', 'rejected']) as known (status)
      left join stats.applications_by_status a on a.status = known.status
    ),
    'requested', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.applications desc, r.currency), '[]')
      from (
        select r.currency, r.decimals, sum(r.applications) as applications, sum(r.amount_cents) as amount_cents
        from stats.requested_by_day r
        where r.day between period.from_day and period.to_day
        group by r.currency, r.decimals
        order by applications desc, r.currency
        limit 24
      ) r
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.mortgages_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.mortgage_stats is
  'The figures of mortgages for a period of days (private.stats_period): {from_day, to_day, time_zone, applications (at present, by status), '
  'offers (made in the period, by status), acceptance_rate (accepted of all that were made in the period), interest (fractions a year), '
  'requested (the 24 most used currencies), days (stats.mortgages_by_day)}. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.mortgage_stats to authenticated, service_role;

-- sql/75_stats/functions/presence_stats.sql
create function public.presence_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period record;
begin
  perform private.require_admin();
  period := private.stats_period(presence_stats.from_day, presence_stats.to_day);

  return period.answer || jsonb_build_object(
    'online', (select n.online from stats.presence_now n),
    'pair_codes', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.sessions desc, c.online desc, c.pair_code), '[]')
      from (
        select * from stats.pair_codes p order by p.sessions desc, p.online desc, p.pair_code limit 20
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.presence_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.presence_stats is
  'The figures of presence for a period of days (private.stats_period): {from_day, to_day, time_zone, online and pair_codes (the 20 most used) '
  'at present, days (stats.presence_by_day)}. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.presence_stats to authenticated, service_role;

-- sql/75_stats/functions/stats_period.sql
create function private.stats_period(inout from_day date, inout to_day date, out answer jsonb)
language plpgsql
stable
set search_path = ''
as $$
declare
  time_zone text;
  today     date;
begin
  select s.time_zone, (now() at time zone s.time_zone)::date into time_zone, today from private.settings s;

  -- in years that clients can read; three of them at most
  to_day := coalesce(to_day, today);
  if to_day between '0001-02-01' and '9999-12-31' then
    from_day := coalesce(from_day, to_day - 29);
  end if;
  -- in this order: of infinite days nothing can be subtracted
  if not coalesce(
    to_day <= '9999-12-31' and from_day between '0001-01-01' and to_day and to_day - from_day < 1096, false
  ) then
    raise sqlstate 'PT400' using message = 'days_invalid';
  end if;

  answer := jsonb_build_object('from_day', from_day, 'to_day', to_day, 'time_zone', time_zone);
end;
$$;

comment on function private.stats_period is
  'The period of a dashboard, both days included: until today in the portal''s time zone where to_day is null, 30 days where from_day '
  'is. Returns it, and with what the answer begins: {from_day, to_day, time_zone}. Refuses: days_invalid (400), for more than 1,096 days '
  'or none.';

-- sql/75_stats/functions/system_stats.sql
create function public.system_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
-- for the invariants, which would use the disc
set work_mem = '64MB'
as $$
declare
  most_events constant bigint := 5000000;
  period      record;
  events      jsonb;
  invariants  jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(system_stats.from_day, system_stats.to_day);

  with by_day as materialized (
    select * from stats.events_by_day e where e.day between period.from_day and period.to_day
  )
  select jsonb_build_object(
    'types', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.events desc, t.type), '[]')
      from (
        select e.type, sum(e.events) as events from by_day e group by e.type order by events desc, e.type limit 100
      ) t
    ),
    'days', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('day', r.day, 'events', coalesce(e.events, 0), 'errors', r.errors) order by r.day
        ),
        '[]'
      )
      from stats.errors_by_day r
      left join (select e.day, sum(e.events) as events from by_day e group by e.day) e on e.day = r.day
      where r.day between period.from_day and period.to_day
    )
  )
  into events;

  -- they read every table whole: of a large log, as of vacuum, the job check-invariants tells
  if most_events > (
    select coalesce(sum(c.reltuples), 0)
    from pg_catalog.pg_inherits p
    join pg_catalog.pg_class c on c.oid = p.inhrelid
    where p.inhparent = 'public.events'::regclass
  ) then
    select jsonb_agg(to_jsonb(i) order by i.name) into invariants from stats.invariants i;
  end if;

  return period.answer || events || jsonb_build_object(
    'clock', exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron'),
    'jobs', (select coalesce(jsonb_agg(to_jsonb(j) order by j.name), '[]') from stats.jobs j),
    'invariants', invariants
  );
end;
$$;

comment on function public.system_stats is
  'The figures of the system for a period of days (private.stats_period): {from_day, to_day, time_zone, types (events by type, the 100 '
  'most frequent), days (events, and the errors that pages reported), clock (whether pg_cron is there to run the jobs), jobs '
  '(stats.jobs), invariants (stats.invariants; null where there are more than five million events, because every table is read '
  'whole for them: the job check-invariants does it daily)}. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.system_stats to authenticated, service_role;

-- sql/75_stats/functions/telbank_stats.sql
create function public.telbank_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period record;
  flows  jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(telbank_stats.from_day, telbank_stats.to_day);

  with by_day as materialized (
    select * from stats.transfers_by_day t where t.day between period.from_day and period.to_day
  ),
  flows as (
    select
      t.network, t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
      sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
    from by_day t
    group by t.network, t.currency, t.decimals
    order by transfers desc, t.currency, t.network
    limit 24
  )
  select jsonb_build_object(
    'totals', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.transfers desc, s.currency), '[]')
      from (
        select
          t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
          sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
        from by_day t
        group by t.currency, t.decimals
        order by transfers desc, t.currency
        limit 24
      ) s
    ),
    'flows', (
      select coalesce(
        jsonb_agg(to_jsonb(f) || jsonb_build_object('network', left(f.network, 200)) order by f.transfers desc, f.currency, f.network),
        '[]'
      )
      from flows f
    ),
    'days', (
      select coalesce(
        jsonb_agg(to_jsonb(t) || jsonb_build_object('network', left(t.network, 200)) order by t.day, t.currency, t.network), '[]'
      )
      from by_day t
      where exists (select from flows f where (f.network, f.currency) is not distinct from (t.network, t.currency))
    )
  )
  into flows;

  return period.answer || flows;
end;
$$;

comment on function public.telbank_stats is
  'The figures of transfers for a period of days (private.stats_period): {from_day, to_day, time_zone, totals (by currency), flows (by network '
  'and currency), days (stats.transfers_by_day, of the networks and currencies in flows)}; the 24 most used of each, of a '
  'network''s name the first 200 characters. Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.telbank_stats to authenticated, service_role;

-- sql/75_stats/functions/voucher_stats.sql
create function public.voucher_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  period  record;
  days    jsonb;
  revenue jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(voucher_stats.from_day, voucher_stats.to_day);

  select
    jsonb_build_object(
      'bookings', coalesce(sum(d.bookings), 0),
      'cancellations', coalesce(sum(d.cancellations), 0),
      'days', coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
    )
  into days
  from stats.bookings_by_day d
  where d.day between period.from_day and period.to_day;

  with by_day as materialized (
    select * from stats.revenue_by_day r where r.day between period.from_day and period.to_day
  ),
  used as (
    select r.currency, r.decimals, sum(r.bookings) as bookings, sum(r.amount_cents) as amount_cents
    from by_day r
    group by r.currency, r.decimals
    order by bookings desc, r.currency
    limit 24
  )
  select jsonb_build_object(
    'revenue', (select coalesce(jsonb_agg(to_jsonb(u) order by u.bookings desc, u.currency), '[]') from used u),
    'revenue_days', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.day, r.currency), '[]')
      from by_day r
      where r.currency in (select u.currency from used u)
    )
  )
  into revenue;

  return period.answer || days || revenue || jsonb_build_object(
    'vouchers', (
      select jsonb_object_agg(known.status, coalesce(v.vouchers, 0))
      from unnest(array['issued', 'booked', 'consumed', 'cancelled', 'expired']) as known (status)
      left join stats.vouchers_by_status v on v.status = known.status
    ),
    'templates', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.offered_minutes desc, t.template_id), '[]')
      from (
        select
          u.template_id, u.title, sum(u.offered_minutes) as offered_minutes, sum(u.booked_minutes) as booked_minutes,
          round(sum(u.booked_minutes) / nullif(sum(u.offered_minutes), 0), 4) as utilisation
        from stats.utilisation_by_day u
        where u.day between period.from_day and period.to_day
        group by u.template_id, u.title
      ) t
    )
  );
end;
$$;

comment on function public.voucher_stats is
  'The figures of vouchers and appointments for a period of days (private.stats_period): {from_day, to_day, time_zone, vouchers (at present, '
  'by status), bookings, cancellations, days (stats.bookings_by_day), revenue and revenue_days (stats.revenue_by_day, of the 24 most used '
  'currencies), templates (offered and booked minutes and utilisation, a fraction: stats.utilisation_by_day)}. '
  'Refuses: not_an_admin (403), days_invalid (400).';

grant execute on function public.voucher_stats to authenticated, service_role;
