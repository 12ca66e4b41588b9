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

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.fee_events
  alter column subject_id set statistics 0;

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
    or fee_id in (select f.id from public.fees f where f.beneficiary_id = (select auth.uid()))
    or (select private.may_act_as('admin'))
  );

create trigger tg_fee_events__refuse
before update or delete or truncate on public.fee_events
for each statement execute function private.tg_append_only__refuse();
