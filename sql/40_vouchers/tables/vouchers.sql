create table public.vouchers (
  id               text        collate "C" primary key default private.new_id('v'),
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
  price_currency   text        collate "C",
  status           text        not null default 'issued',
  transferable     boolean     not null default false,
  terms            jsonb       not null default '{}',
  created_at       timestamptz not null default now(),

  constraint voucher_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint duration_is_at_most_a_year check (duration_minutes between 1 and 525600),
  constraint valid_until_is_not_before_valid_from check (valid_until >= valid_from),
  constraint times_are_in_the_calendar check (
    least(valid_from, valid_until, created_at) >= '0001-01-01 00:00:00+00'
    and greatest(valid_from, valid_until, created_at) < '10000-01-01 00:00:00+00'
  ),
  constraint price_is_a_safe_amount check (price_amount between 0 and 9007199254740991),
  constraint price_has_amount_and_currency check ((price_amount is null) = (price_currency is null)),
  constraint price_currency_is_upper_case
    check (price_currency = upper(price_currency) and price_currency ~ '^\S{1,32}$'),
  constraint voucher_status_is_valid check (status in ('issued', 'booked', 'consumed', 'cancelled', 'expired')),
  constraint allowed_slots_is_an_array check (jsonb_typeof(allowed_slots) = 'array'),
  constraint service_type_and_title_have_at_most_4_kib
    check (octet_length(service_type) <= 4096 and octet_length(title) <= 4096),
  -- the legacy servers took 120,000 characters; a control character is printed with six
  constraint description_has_at_most_128_kib check (octet_length(to_json(description)::text) <= 131072)
);

comment on table public.vouchers is
  'Rights to appointments with their issuer within a period of time. Written by issue_voucher, book_voucher and '
  'cancel_booking.';
comment on column public.vouchers.holder_id is
  'The thinker of the latest active booking; initially the thinker in issued_to.';
comment on column public.vouchers.issued_to is 'If not null, only this thinker may book the voucher.';
comment on column public.vouchers.duration_minutes is 'The length of an appointment.';
comment on column public.vouchers.valid_from is 'The start of the first slot; slots start every 60 minutes.';
comment on column public.vouchers.allowed_slots is
  'Stored as the portal sends it; does not affect which slots are offered (docs/compatibility.md).';
comment on column public.vouchers.price_amount is
  'In the currency''s minor unit (cents). At most 2^53 - 1, which a JSON number represents exactly.';
comment on column public.vouchers.terms is
  'The agreed terms, such as the template''s id ({"template": "consulting"}); any JSON.';

create index vouchers_issuer_id_idx on public.vouchers (issuer_id, created_at);
create index vouchers_holder_id_idx on public.vouchers (holder_id, created_at);
create index vouchers_issued_to_idx on public.vouchers (issued_to, created_at);
create index vouchers_created_at_idx on public.vouchers (created_at);
create index vouchers_window_idx on public.vouchers using gist (tstzrange(valid_from, valid_until));
create index vouchers_open_offers_idx
  on public.vouchers (created_at, valid_until)
  where status = 'issued' and holder_id is null and issued_to is null;

-- no planner statistics, see 10_core/privileges.sql
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

create policy "requests are valid"
  on public.vouchers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_vouchers__refuse_currency
before insert or update of price_currency on public.vouchers
for each row
when (new.price_currency <> 'EUR' and private.is_currency(new.price_currency) is false)
execute function private.tg_currency__refuse();

create trigger tg_vouchers__refuse_json
before insert or update of terms, allowed_slots on public.vouchers
for each row
when (
  octet_length(new.terms::text) + octet_length(new.allowed_slots::text) > 126
  and not private.check_json(jsonb_build_array(new.terms, new.allowed_slots), levels => 64)
)
execute function private.tg_json__refuse();
