create table public.settlements (
  id             uuid        primary key default private.new_uuid(),
  beneficiary_id uuid        not null references public.thinkers (id) on delete restrict,
  period_from    date        not null,
  period_to      date        not null,
  total_cents    bigint      not null,
  currency       text        collate "C" not null,
  status         text        not null default 'open',
  void_reason    text,
  created_at     timestamptz not null default now(),
  invoiced_at    timestamptz,
  paid_at        timestamptz,
  voided_at      timestamptz,
  number         text        collate "C",
  due_on         date,
  written_off_at timestamptz,
  write_off_reason text,
  created_by     text        not null default private.operator_name(),
  invoiced_by    text,
  paid_by        text,
  voided_by      text,
  written_off_by text,

  constraint period_ends_after_it_begins
    check (period_to > period_from and isfinite(period_from) and isfinite(period_to)),
  constraint settlement_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint settlement_status_is_valid check (status in ('open', 'invoiced', 'paid', 'written_off', 'voided')),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at)),
  constraint status_agrees_with_its_times check (
    case status
      when 'open' then num_nonnulls(invoiced_at, paid_at, voided_at, written_off_at) = 0
      when 'invoiced' then invoiced_at is not null and num_nonnulls(paid_at, voided_at, written_off_at) = 0
      when 'paid' then num_nonnulls(invoiced_at, paid_at) = 2 and num_nonnulls(voided_at, written_off_at) = 0
      when 'written_off' then num_nonnulls(invoiced_at, written_off_at) = 2 and num_nonnulls(paid_at, voided_at) = 0
      when 'voided' then voided_at is not null and num_nonnulls(paid_at, written_off_at) = 0
    end
  ),
  constraint every_step_names_its_operator check (
    (invoiced_at is null) = (invoiced_by is null)
    and (paid_at is null) = (paid_by is null)
    and (voided_at is null) = (voided_by is null)
    and (written_off_at is null) = (written_off_by is null)
  ),
  constraint an_invoice_has_a_number_and_a_due_date check (num_nonnulls(invoiced_at, number, due_on) in (0, 3)),
  constraint a_total_of_zero_is_not_invoiced check (invoiced_at is null or total_cents <> 0),
  constraint only_a_positive_total_is_written_off check (status <> 'written_off' or total_cents > 0),
  constraint a_write_off_has_a_reason check ((write_off_reason is null) = (written_off_at is null)),
  constraint write_off_reason_has_at_most_4_kib check (octet_length(write_off_reason) <= 4096),
  constraint a_beneficiary_uses_a_number_once unique (beneficiary_id, number),
  constraint only_a_voided_settlement_has_a_reason check (void_reason is null or status = 'voided'),
  constraint void_reason_has_at_most_4_kib check (octet_length(void_reason) <= 4096),
  -- referenced by fee_events, so that a settlement contains only fee events of its beneficiary and currency
  constraint settlements_id_beneficiary_currency_key unique (id, beneficiary_id, currency)
);

comment on table public.settlements is
  'What a beneficiary is owed for a period. Created by settle_fees; moved by invoice_settlement, pay_settlement, '
  'write_off_settlement and void_settlement. Never deleted; no money is moved.';
comment on column public.settlements.period_from is
  'The first day of the period, in the time zone of private.settings.';
comment on column public.settlements.period_to is 'The day after the last day of the period.';
comment on column public.settlements.total_cents is
  'In the currency''s minor unit: the sum of its fee events, negative if more was reversed than charged. A voided '
  'settlement keeps its total and its lines (settlement_lines), although its fee events are released.';
comment on column public.settlements.number is
  'The number of the invoice, without gaps for each beneficiary and year (private.settings.invoice_number); kept if '
  'it is voided.';
comment on column public.settlements.due_on is
  'The last day on which it is paid in time: private.settings.payment_days after the day of the invoice.';
comment on column public.settlements.created_by is
  'Who created it (private.operator_name); the other columns named like it say who made the later steps.';

create index settlements_beneficiary_id_idx on public.settlements (beneficiary_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.settlements
  alter column void_reason set statistics 0,
  alter column write_off_reason set statistics 0,
  alter column number set statistics 0,
  alter column created_by set statistics 0,
  alter column invoiced_by set statistics 0,
  alter column paid_by set statistics 0,
  alter column voided_by set statistics 0,
  alter column written_off_by set statistics 0;

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

create policy "requests are valid"
  on public.settlements
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_settlements__refuse
before delete or truncate on public.settlements
for each statement execute function private.tg_append_only__refuse();
