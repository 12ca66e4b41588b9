create extension if not exists btree_gist with schema extensions;

create table public.voucher_bookings (
  id            text        collate "C" primary key default private.new_id('b'),
  voucher_id    text        collate "C" not null references public.vouchers (id) on delete restrict,
  issuer_id     uuid        not null references public.thinkers (id) on delete restrict,
  holder_id     uuid        not null references public.thinkers (id) on delete restrict,
  slot_start    timestamptz not null,
  slot_end      timestamptz not null,
  status        text        not null default 'booked',
  cancel_reason text,
  created_at    timestamptz not null default now(),
  cancelled_at  timestamptz,
  no_overlap_across_vouchers boolean not null default false,
  price_amount  bigint,
  price_currency text,

  constraint booking_status_is_valid check (status in ('booked', 'cancelled')),
  constraint slot_ends_after_it_starts check (slot_end > slot_start),
  constraint cancelled_booking_has_a_time check ((status = 'cancelled') = (cancelled_at is not null)),
  constraint only_a_cancelled_booking_has_a_reason check (cancel_reason is null or status = 'cancelled'),
  constraint cancelled_at_is_not_before_created_at check (cancelled_at >= created_at),
  constraint cancel_reason_has_at_most_4_kib check (octet_length(cancel_reason) <= 4096),
  constraint booking_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (
    least(slot_start, slot_end, created_at, cancelled_at) >= '0001-01-01 00:00:00+00'
    and greatest(slot_start, slot_end, created_at, cancelled_at) < '10000-01-01 00:00:00+00'
  ),
  constraint bookings_of_a_voucher_never_overlap
    exclude using gist (voucher_id with =, tstzrange(slot_start, slot_end) with &&) where (status = 'booked'),
  constraint no_overlap_across_vouchers
    exclude using gist (issuer_id with =, tstzrange(slot_start, slot_end) with &&)
    where (status = 'booked' and no_overlap_across_vouchers)
);

comment on table public.voucher_bookings is
  'Booked appointments. Written by book_voucher and cancel_booking only; never deleted, and only cancelled '
  'afterwards.';
comment on column public.voucher_bookings.issuer_id is 'The voucher''s issuer at the time of booking.';
comment on column public.voucher_bookings.price_amount is
  'The voucher''s price at the time of booking, in the minor unit of price_currency; null if it had none. Fees are '
  'charged on it.';
comment on column public.voucher_bookings.no_overlap_across_vouchers is
  'The issuer''s option (thinkers.no_overlap_across_vouchers), for the constraint. Triggers keep it for active '
  'bookings that are not over.';

-- the index of the exclusion constraint has only active bookings; look-ups by voucher and the foreign key need all
create index voucher_bookings_voucher_id_idx on public.voucher_bookings (voucher_id, created_at);
create index voucher_bookings_issuer_id_idx on public.voucher_bookings (issuer_id, created_at);
create index voucher_bookings_holder_id_idx on public.voucher_bookings (holder_id, created_at);
create index voucher_bookings_held_idx on public.voucher_bookings (holder_id, slot_end) where status = 'booked';
create index voucher_bookings_created_at_idx on public.voucher_bookings (created_at);
create index voucher_bookings_slot_idx
  on public.voucher_bookings using gist (tstzrange(slot_start, slot_end)) where status = 'booked';
create index voucher_bookings_cancelled_at_idx on public.voucher_bookings (cancelled_at) where cancelled_at is not null;

-- no planner statistics, see 10_core/privileges.sql
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

create policy "requests are valid"
  on public.voucher_bookings
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- fees depend on these rows
create trigger tg_voucher_bookings__refuse
before delete or truncate or update of
  id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at, price_amount, price_currency
on public.voucher_bookings
for each statement execute function private.tg_append_only__refuse();
