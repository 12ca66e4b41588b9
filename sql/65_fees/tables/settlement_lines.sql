create table public.settlement_lines (
  settlement_id uuid references public.settlements (id) on delete restrict,
  fee_event_id  uuid references public.fee_events (id) on delete restrict,
  month         date not null,

  primary key (settlement_id, fee_event_id)
);

comment on table public.settlement_lines is
  'The fee events of each settlement, written with it. Stay if the settlement is voided, and its fee events are '
  'settled anew.';
comment on column public.settlement_lines.month is
  'The first day of the month to which the fee event belongs, in the time zone of private.settings: the month of the '
  'charge, also for its corrections. The settlement may be of a later month, because an invoiced month is closed.';

create index settlement_lines_fee_event_id_idx on public.settlement_lines (fee_event_id);

alter table public.settlement_lines enable row level security;

grant select on public.settlement_lines to service_role, authenticated;

create policy "payers see their lines, beneficiaries all of a settlement"
  on public.settlement_lines
  for select
  to authenticated
  using (
    settlement_id in (select s.id from public.settlements s where s.beneficiary_id = (select auth.uid()))
    or fee_event_id in (select private.my_charges())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.settlement_lines
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_settlement_lines__refuse
before update or delete or truncate on public.settlement_lines
for each statement execute function private.tg_append_only__refuse();
