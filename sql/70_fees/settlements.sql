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

grant select on public.settlements to service_role, authenticated;

create policy "beneficiaries see their settlements"
  on public.settlements
  for select
  to authenticated
  using (
    beneficiary_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );
