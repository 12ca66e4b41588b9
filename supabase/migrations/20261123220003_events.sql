-- The events that were missing, the log in months, and nobody deletes what money hangs on.

-- what was accepted and signed before it left an event: when it happened, as the triggers below would have written it
insert into public.events (type, actor_id, subject_type, subject_id, meta, created_at)
select
  'mortgage.accept', a.borrower_id, 'mortgage_offer', o.id,
  jsonb_build_object('applicationId', o.application_id, 'lenderUid', private.uid_of(o.lender_id)), c.created_at
from public.mortgage_contracts c
join public.mortgage_offers o on o.id = c.offer_id
join public.mortgage_applications a on a.id = o.application_id
where o.status = 'accepted';

insert into public.events (type, actor_id, subject_type, subject_id, meta, created_at)
select
  'mortgage.sign', signature.natural_signer, 'mortgage_contract', c.id,
  jsonb_build_object(
    'signer', signature.signer,
    'status',
    case
      when c.status <> 'draft'
        and signature.signed_at = greatest(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at) then 'signed'
      else 'draft'
    end
  ),
  signature.signed_at
from public.mortgage_contracts c
join public.mortgage_offers o on o.id = c.offer_id
join public.mortgage_applications a on a.id = o.application_id
cross join lateral (
  values
    ('borrower', a.borrower_id, c.borrower_signed_at),
    ('lender', o.lender_id, c.lender_signed_at),
    ('notary', null, c.notary_signed_at)
) signature (signer, natural_signer, signed_at)
where signature.signed_at is not null;

-- the log, a partition a month: made anew beside the old one, because a table cannot become partitioned

drop function private.event_json(public.events);

alter table public.events set schema private;
alter table private.events rename to unpartitioned_events;

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

create index events_created_at_idx on public.events (created_at desc, id desc);
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

-- the months of what there is, as far as make_event_partitions would make them
select private.make_event_partition(m.month)
from (select distinct date_trunc('month', e.created_at, 'UTC') as month from private.unpartitioned_events e) m
where m.month < date_trunc('month', now(), 'UTC')
order by m.month;

select private.make_event_partitions();

insert into public.events select * from private.unpartitioned_events;

drop table private.unpartitioned_events;

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

-- the events that were missing

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

-- also of bookings that are written as cancelled
drop trigger tg_voucher_bookings__write_cancel on public.voucher_bookings;

create or replace function private.tg_voucher_bookings__write_cancel()
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

create or replace function private.tg_telemetry_events__write_event()
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

-- what stays

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

-- money hangs on them
create trigger tg_voucher_bookings__refuse
before delete or truncate on public.voucher_bookings
for each statement execute function private.tg_append_only__refuse();

create trigger tg_mortgage_contracts__refuse
before delete or truncate on public.mortgage_contracts
for each statement execute function private.tg_append_only__refuse();

create trigger tg_transfers__refuse
before delete or truncate on public.transfers
for each statement execute function private.tg_append_only__refuse();
