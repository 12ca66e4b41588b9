create table private.daily_use (
  thinker_id       uuid    not null references public.thinkers (id) on delete cascade,
  part             integer not null default 0,
  day              date    not null,
  vouchers         integer not null,
  bookings         integer not null,
  applications     integer not null,
  transfers        integer not null,
  new_thinkers     integer not null,
  presence_changes integer not null,
  telemetry_events integer not null,
  telemetry_types  text[]  collate "C" not null,
  bytes            bigint  not null,

  primary key (thinker_id, part)
);

comment on table private.daily_use is
  'What each thinker has written on its latest day (UTC), for the limits in private.settings: the sum of its rows of '
  'that day. Written by use_today.';
comment on column private.daily_use.part is
  'One of the thinker''s rows, of which each is written by one call at a time: as many as there were calls at once.';
comment on column private.daily_use.bytes is
  'The size of its requests, and of the responses that are kept for its idempotency keys, on that day.';
comment on column private.daily_use.telemetry_types is 'The different types of its events of telemetry on that day.';

alter table private.daily_use enable row level security;
