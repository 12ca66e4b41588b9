create table public.fees (
  id           text         primary key,
  scope        text         not null,
  percentage   numeric(6,4) not null default 0,
  fixed_amount bigint       not null default 0,
  currency     text,
  active       boolean      not null default false,
  meta         jsonb        not null default '{}',

  constraint fee_scope_is_valid check (scope in ('voucher', 'transfer', 'room', 'mortgage')),
  constraint percentage_is_a_fraction check (percentage between 0 and 1),
  constraint fixed_amount_is_not_negative check (fixed_amount >= 0),
  constraint fixed_amount_has_a_currency check (fixed_amount = 0 or currency is not null),
  constraint fee_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint fee_id_has_1_to_255_characters check (char_length(id) between 1 and 255)
);

comment on table public.fees is 'What is charged for what (specification, 3.1): voucher.booking, transfer.logged.';
comment on column public.fees.percentage is 'A fraction: 0.02 is 2 percent.';
comment on column public.fees.fixed_amount is 'The minor unit (cents) of the fee''s currency.';

alter table public.fees enable row level security;

create table public.settlements (
  id             uuid        primary key default private.new_uuid(),
  beneficiary_id uuid        not null references public.thinkers (id) on delete restrict,
  period_from    date        not null,
  period_to      date        not null,
  total_cents    bigint      not null,
  currency       text        not null,
  status         text        not null default 'open',
  created_at     timestamptz not null default now(),

  constraint period_ends_after_it_begins check (period_to > period_from and isfinite(period_from) and isfinite(period_to)),
  constraint settlement_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint settlement_status_is_valid check (status in ('open', 'invoiced', 'paid')),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.settlements is 'What a beneficiary is owed for a period (specification, 3.2).';
comment on column public.settlements.period_to is 'The first day that no longer belongs to the period.';
comment on column public.settlements.total_cents is 'The currency''s minor unit. Negative when more was reversed than charged.';

create index settlements_beneficiary_id_idx on public.settlements (beneficiary_id);

alter table public.settlements enable row level security;

create table public.fee_events (
  id           uuid        primary key default private.new_uuid(),
  fee_id       text        not null references public.fees (id) on delete restrict,
  subject_type text        not null,
  subject_id   text        not null,
  amount_cents bigint      not null,
  currency     text        not null,
  created_at   timestamptz not null default now(),

  constraint subject_type_is_chargeable check (subject_type in ('voucher_booking', 'transfer', 'mortgage_contract')),
  constraint subject_id_is_not_empty check (subject_id <> ''),
  constraint fee_event_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.fee_events is 'One charge, or the reversal of one (specification, 3.2). Written by triggers only.';
comment on column public.fee_events.subject_type is 'What was charged for: voucher_booking, transfer, mortgage_contract.';
comment on column public.fee_events.amount_cents is 'The currency''s minor unit; negative for a reversal.';

create index fee_events_fee_id_idx on public.fee_events (fee_id);
create index fee_events_subject_idx on public.fee_events (subject_type, subject_id);

alter table public.fee_events enable row level security;
