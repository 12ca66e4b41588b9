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

insert into public.voucher_templates (id, service_type, title, default_duration, default_terms)
values
  ('consulting', 'consulting.session', 'Beratungsgespräch', 60, '{"template": "consulting"}'),
  ('therapy', 'therapy.session', 'Therapiesitzung', 50, '{"template": "therapy"}'),
  ('viewing', 'realestate.viewing', 'Immobilienbesichtigung', 30, '{"template": "viewing"}'),
  ('machine', 'machine.rental', 'Maschinenstunde', 120, '{"template": "machine"}'),
  ('membership', 'membership.access', 'Mitgliedschaft', 60, '{"template": "membership"}');

create table public.vouchers (
  id               text        primary key default private.new_id('v'),
  issuer_id        uuid        not null references public.thinkers (id) on delete restrict,
  holder_id        uuid        references public.thinkers (id) on delete restrict,
  service_type     text        not null default 'generic.service',
  title            text        not null default 'Unbenannter Service',
  description      text        not null default '',
  duration_minutes integer     not null default 60,
  valid_from       timestamptz not null,
  valid_until      timestamptz not null,
  price_amount     bigint,
  price_currency   text,
  status           text        not null default 'issued',
  transferable     boolean     not null default false,
  terms            jsonb       not null default '{}',
  created_at       timestamptz not null default now(),
  allowed_slots    jsonb       not null default '[]',

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
  constraint json_is_reasonable check (private.check_json(terms) and private.check_json(allowed_slots))
);

comment on table public.vouchers is
  'A right to appointments with the issuer in a window of time (specification, 1.2). Written by issue_voucher, book_voucher and cancel_booking.';
comment on column public.vouchers.holder_id is 'Whoever booked last, while a booking is active.';
comment on column public.vouchers.duration_minutes is 'How long an appointment is.';
comment on column public.vouchers.valid_from is 'Where the hourly grid of slots begins.';
comment on column public.vouchers.price_amount is
  'The currency''s minor unit (cents). At most 2^53 - 1, which a JSON number holds exactly.';
comment on column public.vouchers.terms is 'Terms, the template''s id ({"template": "consulting"}), whatever the issuer agreed; any JSON.';
comment on column public.vouchers.allowed_slots is 'Kept for the portal as it was sent; offers nothing and forbids nothing (contract, section 3).';

create index vouchers_issuer_id_idx on public.vouchers (issuer_id, created_at);
create index vouchers_holder_id_idx on public.vouchers (holder_id, created_at);

alter table public.vouchers enable row level security;

grant select on public.vouchers to service_role;

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

alter table public.voucher_bookings enable row level security;

grant select on public.voucher_bookings to service_role;

create function private.voucher_json(voucher public.vouchers)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(voucher) || jsonb_build_object(
    'issuer_uid', private.uid_of(voucher.issuer_id),
    'holder_uid', private.uid_of(voucher.holder_id)
  )
$$;

comment on function private.voucher_json is 'A voucher as the functions return it: its columns, and the uids of issuer and holder.';

grant execute on function private.voucher_json to service_role;

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

grant execute on function private.booking_json to service_role;

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
  terms            jsonb       default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  issuer  uuid;
  holder  uuid := private.thinker_id(issue_voucher.holder_uid);
  voucher public.vouchers;
begin
  -- new thinkers are made in the order of their ids, so that two of these wait for each other and never in a circle
  if holder < auth.uid() then
    perform private.thinker_of(issue_voucher.holder_uid);
  end if;
  issuer := private.acting_thinker();
  perform private.thinker_of(issue_voucher.holder_uid);

  voucher := row(
    coalesce(issue_voucher.voucher_id, private.new_id('v')),
    issuer,
    holder,
    coalesce(issue_voucher.service_type, 'generic.service'),
    coalesce(issue_voucher.title, 'Unbenannter Service'),
    coalesce(issue_voucher.description, ''),
    coalesce(issue_voucher.duration_minutes, 60),
    date_trunc('milliseconds', coalesce(issue_voucher.valid_from, now())),
    date_trunc('milliseconds', coalesce(issue_voucher.valid_until, greatest(issue_voucher.valid_from, now()))),
    issue_voucher.price_amount,
    case when issue_voucher.price_amount is not null then upper(coalesce(issue_voucher.price_currency, 'EUR')) end,
    lower(coalesce(issue_voucher.status, 'issued')),
    coalesce(issue_voucher.transferable, false),
    coalesce(issue_voucher.terms, '{}'),
    now(),
    coalesce(issue_voucher.allowed_slots, '[]')
  );

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

  return private.voucher_json(voucher);
end;
$$;

comment on function public.issue_voucher is
  'Issues a voucher of the acting thinker. What is left out (null) gets the default of the legacy API: an hour of '
  '"Unbenannter Service", valid from now until now. price_amount is in minor units (cents), times keep milliseconds. '
  'Returns the voucher. Refuses: not_signed_in (401); duration_out_of_range, date_out_of_range, '
  'valid_until_before_valid_from, amount_out_of_range, voucher_status_unknown, uid_invalid (400); voucher_exists (409).';

grant execute on function public.issue_voucher to authenticated;

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

grant execute on function private.thinker_id to service_role;
grant execute on function public.list_vouchers to service_role;

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
  if not found then
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
  'without them the first year of the voucher''s window. Refuses: voucher_not_found (404).';

grant execute on function public.available_slots to anon, authenticated, service_role;

create function public.book_voucher(voucher_id text, slot_start timestamptz)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  holder  uuid := private.acting_thinker();
  voucher public.vouchers;
  booking public.voucher_bookings;
  offered boolean := false;
begin
  select * into voucher
  from public.vouchers v
  where v.id = book_voucher.voucher_id
  for no key update;

  if not found then
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

  return jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher));
exception
  when exclusion_violation then
    raise sqlstate 'PT409' using message = 'slot_taken';
end;
$$;

comment on function public.book_voucher is
  'Books a slot of a voucher for the acting thinker. No start (null) is a slot that is not offered. '
  'Returns {booking, voucher}. Refuses: not_signed_in (401); '
  'voucher_not_found (404); voucher_not_bookable (with the status as detail), slot_not_offered, slot_taken (409).';

grant execute on function public.book_voucher to authenticated;

create function public.cancel_booking(
  booking_id text default null,
  voucher_id text default null,
  reason     text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  voucher public.vouchers;
  booking public.voucher_bookings;
  holder  uuid;
begin
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
    and (b.id = cancel_booking.booking_id or (cancel_booking.booking_id is null and b.status = 'booked'))
  order by b.created_at, b.id
  limit 1;

  if not found then
    raise sqlstate 'PT404' using message = 'booking_not_found';
  end if;
  if not private.is_service() and auth.uid() is distinct from booking.holder_id
    and auth.uid() is distinct from booking.issuer_id then
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

  return jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher));
end;
$$;

comment on function public.cancel_booking is
  'Cancels a booking, named by its id or as the oldest active one of a voucher; for its holder, its issuer or a trusted '
  'server. The voucher is offered again, unless another booking of it is active. A booking that is cancelled already '
  'stays as it was. Returns {booking, voucher}. Refuses: booking_or_voucher_required (400), not_a_party (403), '
  'booking_not_found (404).';

grant execute on function public.cancel_booking to authenticated, service_role;

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

grant execute on function public.list_bookings to service_role;
