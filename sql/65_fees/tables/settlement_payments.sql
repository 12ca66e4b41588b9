create table public.settlement_payments (
  id            uuid        primary key default private.new_uuid(),
  settlement_id uuid        not null references public.settlements (id) on delete restrict,
  payer_id      uuid        references public.thinkers (id) on delete restrict,
  amount_cents  bigint      not null,
  paid_on       date        not null,
  reference     text,
  recorded_by   text        not null default private.operator_name(),
  created_at    timestamptz not null default now(),

  constraint payment_is_not_zero check (amount_cents <> 0),
  constraint paid_on_is_in_the_calendar check (paid_on between '0001-01-01' and '9999-12-31'),
  constraint reference_has_at_most_1000_characters check (char_length(reference) <= 1000),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.settlement_payments is
  'The payments of invoiced settlements, in whole or in parts, as pay_settlement recorded them, and what credit notes '
  'pay (private.take_off_credits); no money is moved.';
comment on column public.settlement_payments.payer_id is
  'Whose debt it pays; null: the oldest debts of the settlement first.';
comment on column public.settlement_payments.amount_cents is
  'In the minor unit of the settlement''s currency; negative for what a credit note pays of an invoice.';
comment on column public.settlement_payments.paid_on is 'The day of the payment; created_at is when it was recorded.';
comment on column public.settlement_payments.reference is 'The operator''s reference, such as a bank''s.';

create index settlement_payments_settlement_id_idx on public.settlement_payments (settlement_id);
create index settlement_payments_payer_id_idx on public.settlement_payments (payer_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.settlement_payments
  alter column reference set statistics 0,
  alter column recorded_by set statistics 0;

alter table public.settlement_payments enable row level security;

grant select on public.settlement_payments to service_role, authenticated;

create policy "payers and beneficiaries see their payments"
  on public.settlement_payments
  for select
  to authenticated
  using (
    settlement_id in (select s.id from public.settlements s where s.beneficiary_id = (select auth.uid()))
    or payer_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.settlement_payments
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_settlement_payments__refuse
before update or delete or truncate on public.settlement_payments
for each statement execute function private.tg_append_only__refuse();
