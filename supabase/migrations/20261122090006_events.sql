create table public.events (
  id           uuid        primary key default private.new_uuid(),
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
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.events is
  'The log of what happened (specification, 2.1). Written by triggers only, in the transaction of what they log.';
comment on column public.events.type is 'What happened: voucher.book, transfer.logged.';
comment on column public.events.subject_type is
  'The kind of thing it happened to: voucher, voucher_booking, room, contract, transfer, mortgage_application, ...';
comment on column public.events.meta is 'What a reader of the log needs; no tokens, no account numbers.';

create index events_created_at_idx on public.events (created_at desc, id desc);
create index events_actor_id_idx on public.events (actor_id);
create index events_subject_idx on public.events (subject_type, subject_id);

alter table public.events enable row level security;

grant select on public.events to service_role;

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

alter table public.telemetry_events enable row level security;

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

create function private.tg_voucher_bookings__write_cancel()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.cancel', new.holder_id, 'voucher_booking', new.id,
    jsonb_build_object('voucherId', new.voucher_id, 'reason', new.cancel_reason)
  );
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_cancel is 'Writes the event voucher.cancel.';

create trigger tg_voucher_bookings__write_cancel
  after update of status on public.voucher_bookings
  for each row
  when (old.status = 'booked' and new.status = 'cancelled')
  execute function private.tg_voucher_bookings__write_cancel();

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
    jsonb_build_object('type', new.type, 'path', new.path)
  );
  return null;
end;
$$;

comment on function private.tg_telemetry_events__write_event is 'Writes the event telemetry.event.';

create trigger tg_telemetry_events__write_event
  after insert on public.telemetry_events
  for each row
  execute function private.tg_telemetry_events__write_event();

create function public.record_telemetry(events jsonb)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  actor  uuid;
  stored integer;
begin
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

  return stored;
end;
$$;

comment on function public.record_telemetry is
  'Stores what pages report: an array of {type, path, actor_uid, meta}; events without a type are skipped. Returns how many '
  'were stored. Refuses: events_required, uid_invalid (400), not_signed_in (401), too_many_events (413: more than 1,000).';

grant execute on function public.record_telemetry to authenticated, service_role;

create function private.event_json(event public.events)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(event) || jsonb_build_object('actor_uid', private.uid_of(event.actor_id))
$$;

comment on function private.event_json is 'An event as the functions return it: its columns, and the actor''s uid.';

grant execute on function private.event_json to service_role;

create function public.list_events(max_rows integer default 50)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.event_json(e) order by e.created_at desc, e.id desc), '[]')
  from (
    select *
    from public.events
    order by created_at desc, id desc
    limit least(greatest(list_events.max_rows, 1), 200)
  ) e
$$;

comment on function public.list_events is 'The latest events that the caller may read, newest first: max_rows of them, from 1 to 200.';

grant execute on function public.list_events to service_role;

create function public.dashboard()
returns jsonb
language sql
stable
set search_path = ''
as $$
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
    'recent_events', public.list_events(20)
  )
  from figures
$$;

comment on function public.dashboard is
  'The figures of GET /api/admin/dashboard (contract, section 7) over the events of the last 30 days; rates in percent, days in UTC.';

grant execute on function public.dashboard to service_role;

create function public.error_summary()
returns jsonb
language sql
stable
set search_path = ''
as $$
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
  'The errors among the events of the last 30 days: {total, by_type, recent (the 20 newest)}, for GET /api/autofix/status.';

grant execute on function public.error_summary to service_role;
