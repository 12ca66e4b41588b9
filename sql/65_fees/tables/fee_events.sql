create table public.fee_events (
  id             uuid         primary key default private.new_uuid(),
  fee_id         text         collate "C" not null references public.fees (id) on delete restrict,
  subject_type   text         collate "C" not null,
  subject_id     text         collate "C" not null,
  base_cents     bigint,
  rate           numeric,
  fixed_cents    bigint,
  unrounded      numeric,
  bound          text,
  amount_cents   bigint       not null,
  currency       text         collate "C" not null,
  beneficiary_id uuid         not null references public.thinkers (id) on delete restrict,
  reverses       uuid         unique references public.fee_events (id) on delete restrict,
  settlement_id  uuid,
  created_at     timestamptz  not null default now(),
  reason         text,
  payer_id       uuid         references public.thinkers (id) on delete restrict,
  adjusts        uuid         references public.fee_events (id) on delete restrict,
  operator       text,

  constraint subject_type_is_chargeable check (subject_type in ('voucher_booking', 'transfer', 'mortgage_contract')),
  constraint subject_id_is_not_empty check (subject_id <> ''),
  constraint fee_event_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint times_are_in_the_calendar
    check (created_at >= '0001-01-01 00:00:00+00' and created_at < '10000-01-01 00:00:00+00'),
  constraint it_is_a_charge_a_reversal_or_an_adjustment check (num_nonnulls(reverses, adjusts) <= 1),
  constraint a_charge_is_explained_and_a_correction_names_it check (
    num_nonnulls(base_cents, rate, fixed_cents, unrounded)
    = case num_nonnulls(reverses, adjusts) when 0 then 4 else 0 end
  ),
  constraint a_charge_is_not_negative_and_a_reversal_not_positive check (
    case
      when adjusts is not null then amount_cents <> 0
      when reverses is not null then amount_cents <= 0
      else amount_cents >= 0
    end
  ),
  constraint rate_is_a_fraction check (rate between 0 and 1),
  constraint rate_has_at_most_four_decimals check (min_scale(rate) <= 4),
  constraint the_unrounded_amount_follows_from_its_parts check (unrounded = base_cents * rate + fixed_cents),
  constraint the_amount_is_rounded_once check (bound is not null or amount_cents = round(unrounded)),
  constraint bound_is_valid check (bound in ('minimum', 'maximum')),
  constraint only_a_charge_is_bounded check (bound is null or num_nonnulls(reverses, adjusts) = 0),
  constraint only_a_correction_has_a_reason check (reason is null or num_nonnulls(reverses, adjusts) = 1),
  constraint an_adjustment_has_a_reason check (adjusts is null or reason is not null),
  constraint a_reason_has_an_operator check ((reason is null) = (operator is null)),
  constraint reason_has_at_most_4_kib check (octet_length(reason) <= 4096),
  constraint a_settlement_is_for_one_beneficiary_in_one_currency
    foreign key (settlement_id, beneficiary_id, currency)
    references public.settlements (id, beneficiary_id, currency) on delete restrict
    -- a beneficiary that is erased becomes a pseudonym in both (private.erase_thinker)
    on update cascade
);

comment on table public.fee_events is
  'Charges, reversals and adjustments of charges, with the explanation of each amount. Written by triggers, '
  'reverse_fee and adjust_fee; only the link to the settlement ever changes.';
comment on column public.fee_events.subject_type is
  'What was charged for: voucher_booking, transfer, mortgage_contract.';
comment on column public.fee_events.base_cents is
  'The amount to which the percentage applies, in the currency''s minor unit.';
comment on column public.fee_events.rate is 'The percentage as a fraction: 0.02 is 2 percent.';
comment on column public.fee_events.fixed_cents is 'The fixed part, in the currency''s minor unit.';
comment on column public.fee_events.unrounded is 'Exactly base_cents * rate + fixed_cents.';
comment on column public.fee_events.bound is 'The bound of the fee that applied: minimum, maximum, or null.';
comment on column public.fee_events.amount_cents is
  'In the currency''s minor unit: unrounded, rounded half away from zero, or the bound that applied; for a reversal '
  'negative: what was left of the charge. An adjustment is negative for a credit, positive for a further charge.';
comment on column public.fee_events.beneficiary_id is
  'The thinker who is owed the amount: the fee''s beneficiary at the time of the charge.';
comment on column public.fee_events.reverses is 'The charge that this row reverses.';
comment on column public.fee_events.adjusts is 'The charge of which this row credits a part, or to which it adds.';
comment on column public.fee_events.payer_id is
  'The thinker who owes the amount (fees.payer at the time of the charge); null if unknown.';
comment on column public.fee_events.reason is
  'Why an operator corrected the charge; null for a charge, and for the reversal of a cancelled booking.';
comment on column public.fee_events.operator is 'The operator who corrected the charge (private.operator_name).';
comment on column public.fee_events.settlement_id is
  'The settlement that contains it; null if it is due, also after its settlement was voided.';

-- even if a trigger runs twice; a charge has at most one reversal, too
create unique index one_charge_a_fee_and_subject
  on public.fee_events (subject_type, subject_id, fee_id, currency)
  where reverses is null and adjusts is null;
create index fee_events_adjusts_idx on public.fee_events (adjusts) where adjusts is not null;
create index fee_events_payer_id_idx on public.fee_events (payer_id, created_at);
create index fee_events_fee_id_idx on public.fee_events (fee_id);
create index fee_events_beneficiary_id_idx on public.fee_events (beneficiary_id, created_at);
create index fee_events_settlement_id_idx on public.fee_events (settlement_id);
create index fee_events_created_at_idx on public.fee_events (created_at);
create index fee_events_unsettled_idx on public.fee_events (created_at) where settlement_id is null;

-- no planner statistics, see 10_core/privileges.sql
alter table public.fee_events
  alter column subject_id set statistics 0,
  alter column bound set statistics 0,
  alter column reason set statistics 0,
  alter column operator set statistics 0;

alter table public.fee_events enable row level security;

grant select on public.fee_events to service_role, authenticated;

create policy "parties and beneficiaries see the charges"
  on public.fee_events
  for select
  to authenticated
  using (
    (subject_type = 'voucher_booking' and subject_id in (select private.my_bookings()))
    or (subject_type = 'transfer' and subject_id in (select private.my_transfers()))
    or (
      subject_type = 'mortgage_contract'
      and subject_id in (
        select c.id from public.mortgage_contracts c where c.offer_id in (select private.my_offers())
      )
    )
    or beneficiary_id = (select auth.uid())
    or payer_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.fee_events
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- every column except settlement_id
create trigger tg_fee_events__refuse
before delete or truncate or update of
  id, fee_id, subject_type, subject_id, amount_cents, currency, created_at, beneficiary_id, base_cents, rate,
  fixed_cents, unrounded, bound, reverses, reason, payer_id, adjusts, operator
on public.fee_events
for each statement execute function private.tg_append_only__refuse();
