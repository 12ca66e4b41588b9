-- Fees that are charged, explained and reversed by triggers, and settlements that are their exact sums.

-- every row that is written asks these: as fast as they can be
create or replace function private.in_calendar(variadic moments timestamptz[])
returns boolean
language plpgsql -- which keeps the plan for the next one
immutable
set search_path = ''
as $$
begin
  return (
    '0001-01-01 00:00:00+00' <= all (in_calendar.moments) and '10000-01-01 00:00:00+00' > all (in_calendar.moments)
  ) is not false;
end;
$$;

create or replace function private.new_uuid()
returns uuid
language plpgsql -- which keeps the plan for the next one
volatile
set search_path = ''
as $$
begin
  return (
    lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14)
  )::uuid;
end;
$$;

create or replace function private.new_id(prefix text)
returns text
language plpgsql -- which keeps the plan for the next one
volatile
set search_path = ''
as $$
begin
  return (
    select prefix || '-'
      || string_agg(
        substr('0123456789abcdefghijklmnopqrstuvwxyz', (ms / (36::numeric ^ place)::bigint % 36)::int + 1, 1),
        '' order by place desc
      )
      || '-' || private.new_suffix()
    from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms) moment,
      generate_series(0, 7) as place
  );
end;
$$;

create function private.currency_code(currency text)
returns text
language sql
immutable
strict
set search_path = ''
as $$
  select coalesce(nullif(left(upper(regexp_replace(currency, '\s', '', 'g')), 32), ''), 'XXX')
$$;

comment on function private.currency_code is
  'A currency as fees count it: upper case, without blanks; XXX (ISO 4217: no currency) where nothing is left of it.';

-- whoever is owed the portal's own fees (specification, 3.2: the TogetherSystems pillar)
insert into public.thinkers (id, public_id)
values (private.thinker_id('togethersystems'), 'togethersystems')
on conflict do nothing;

update public.fees set beneficiary_id = private.thinker_id('togethersystems') where beneficiary_id is null;
alter table public.fees
  alter column beneficiary_id set default '6753616d-40b8-8b53-8e99-7b58caa8f8f6',
  alter column beneficiary_id set not null,
  add column min_cents bigint,
  add column max_cents bigint,
  add constraint bounds_have_a_currency check (num_nonnulls(min_cents, max_cents) = 0 or currency is not null),
  add constraint minimum_is_at_most_the_maximum check (min_cents <= max_cents),
  add constraint fixed_amount_is_at_most_the_maximum check (fixed_amount <= max_cents),
  add constraint amounts_are_safe check (
    fixed_amount <= 9007199254740991
    and min_cents between 0 and 9007199254740991
    and max_cents between 0 and 9007199254740991
  );
comment on table public.fees is
  'What is charged for what (specification, 3.1): voucher.booking, transfer.logged. Every active fee of a scope is charged for '
  'each booking, transfer or accepted mortgage of that scope (room: nothing yet). Operators change the rows; each version is kept in fee_versions.';
comment on column public.fees.percentage is
  'A fraction: 0.02 is 2 percent, of the voucher''s price, the transfer''s fiat amount, the accepted loan.';
comment on column public.fees.fixed_amount is 'The minor unit (cents) of the fee''s currency.';
comment on column public.fees.currency is 'Of fixed_amount and of both bounds.';
comment on column public.fees.beneficiary_id is 'To whom what is charged from now on is owed; by default the thinker togethersystems, the portal itself.';
comment on column public.fees.min_cents is
  'The least that is charged, in the minor unit of the fee''s currency; holds where the whole charge is in that currency.';
comment on column public.fees.max_cents is 'The most that is charged, likewise.';

create table public.fee_versions (
  id             uuid         primary key default private.new_uuid(),
  fee_id         text         not null references public.fees (id) on delete restrict,
  scope          text         not null,
  percentage     numeric(6,4) not null,
  fixed_amount   bigint       not null,
  currency       text,
  min_cents      bigint,
  max_cents      bigint,
  active         boolean      not null,
  beneficiary_id uuid         not null references public.thinkers (id) on delete restrict,
  valid_from     timestamptz  not null default clock_timestamp()
);

comment on table public.fee_versions is
  'What a fee was from when on; written by a trigger with every change, so that each charge can be traced to its price.';
comment on column public.fee_versions.fixed_amount is 'The minor unit (cents) of the version''s currency, like min_cents and max_cents.';
comment on column public.fee_versions.valid_from is 'When the change was made; it holds until the next version of the fee.';

create index fee_versions_fee_id_idx on public.fee_versions (fee_id, valid_from);
create index fee_versions_beneficiary_id_idx on public.fee_versions (beneficiary_id);

alter table public.fee_versions enable row level security;

grant select on public.fee_versions to service_role, authenticated;

create policy "the signed-in see what the prices were"
  on public.fee_versions
  for select
  to authenticated
  using (true);

create trigger tg_fee_versions__refuse
before update or delete or truncate on public.fee_versions
for each statement execute function private.tg_append_only__refuse();

-- what an operator had made already stays
insert into public.fees (id, scope, percentage, active)
values ('voucher.booking', 'voucher', 0.02, true), ('transfer.logged', 'transfer', 0, false)
on conflict do nothing;

-- from here on a trigger does this
insert into public.fee_versions (
  fee_id, scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id
)
select f.id, f.scope, f.percentage, f.fixed_amount, f.currency, f.min_cents, f.max_cents, f.active, f.beneficiary_id
from public.fees f;

create function private.tg_fees__keep_version()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) - 'id' - 'meta' end;
  after  jsonb := to_jsonb(new) - 'id' - 'meta';
begin
  if before is distinct from after then
    insert into public.fee_versions (
      fee_id, scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id
    )
    values (
      new.id, new.scope, new.percentage, new.fixed_amount, new.currency, new.min_cents, new.max_cents, new.active,
      new.beneficiary_id
    );
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'fee.changed', private.known_actor(), 'fee', new.id, jsonb_build_object('before', before, 'after', after)
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_fees__keep_version is 'Keeps every version of a fee, and writes the event fee.changed (before: null for a new fee). Notes in meta make no version.';

create trigger tg_fees__keep_version
  after insert or update on public.fees
  for each row
  execute function private.tg_fees__keep_version();

alter table public.settlements
  add column invoiced_at timestamptz,
  add column paid_at timestamptz,
  add column voided_at timestamptz,
  add column void_reason text;

-- until now only operators could have written any
update public.settlements s
set invoiced_at = case when s.status in ('invoiced', 'paid') then s.created_at end,
    paid_at = case when s.status = 'paid' then s.created_at end;

alter table public.settlements
  drop constraint settlement_status_is_valid,
  add constraint settlement_status_is_valid check (status in ('open', 'invoiced', 'paid', 'voided')),
  add constraint status_agrees_with_its_times check (
    case status
      when 'open' then num_nonnulls(invoiced_at, paid_at, voided_at) = 0
      when 'invoiced' then invoiced_at is not null and num_nonnulls(paid_at, voided_at) = 0
      when 'paid' then num_nonnulls(invoiced_at, paid_at) = 2 and voided_at is null
      when 'voided' then voided_at is not null and paid_at is null
    end
  ),
  add constraint only_a_voided_settlement_has_a_reason check (void_reason is null or status = 'voided'),
  add constraint void_reason_has_at_most_1_mib check (octet_length(void_reason) <= 1048576),
  add constraint settlements_id_beneficiary_currency_key unique (id, beneficiary_id, currency);
comment on table public.settlements is
  'What a beneficiary is owed for a period (specification, 3.2). Written by settle_fees; open, invoiced, paid or voided by the '
  'functions of that name. Never deleted; no money is moved.';
comment on column public.settlements.period_from is 'The first day of the period, in the time zone of private.settings.';
comment on column public.settlements.period_to is 'The first day that no longer belongs to the period.';
comment on column public.settlements.total_cents is
  'The currency''s minor unit: the sum of its fee events, negative when more was reversed than charged. A voided settlement keeps '
  'its total, though its fee events are released.';

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.settlements
  alter column void_reason set statistics 0;

create trigger tg_settlements__refuse
before delete or truncate on public.settlements
for each statement execute function private.tg_append_only__refuse();

drop trigger tg_fee_events__refuse on public.fee_events;
drop policy "parties and beneficiaries see the charges" on public.fee_events;
drop index public.fee_events_subject_idx;

alter table public.fee_events
  add column beneficiary_id uuid references public.thinkers (id) on delete restrict,
  add column base_cents bigint,
  add column rate numeric(6,4),
  add column fixed_cents bigint,
  add column unrounded numeric,
  add column bound text,
  add column reverses uuid unique references public.fee_events (id) on delete restrict,
  add column settlement_id uuid;

-- until now only operators could have written any
update public.fee_events e
set beneficiary_id = f.beneficiary_id, base_cents = 0, rate = 0, fixed_cents = e.amount_cents, unrounded = e.amount_cents
from public.fees f
where f.id = e.fee_id;

alter table public.fee_events
  alter column beneficiary_id set not null,
  add constraint a_charge_is_explained_and_a_reversal_names_it check (
    num_nonnulls(base_cents, rate, fixed_cents, unrounded) = case when reverses is null then 4 else 0 end
  ),
  add constraint a_charge_is_not_negative_and_a_reversal_not_positive check (
    case when reverses is null then amount_cents >= 0 else amount_cents <= 0 end
  ),
  add constraint the_unrounded_amount_follows_from_its_parts check (unrounded = base_cents * rate + fixed_cents),
  add constraint the_amount_is_rounded_once check (bound is not null or amount_cents = round(unrounded)),
  add constraint bound_is_valid check (bound in ('minimum', 'maximum')),
  add constraint only_a_charge_is_bounded check (bound is null or reverses is null),
  -- whatever runs twice: one charge a fee, subject and currency, and one reversal of it
  add constraint one_charge_a_fee_and_subject
    unique nulls not distinct (subject_type, subject_id, fee_id, currency, reverses),
  add constraint a_settlement_is_for_one_beneficiary_in_one_currency
    foreign key (settlement_id, beneficiary_id, currency)
    references public.settlements (id, beneficiary_id, currency) on delete restrict;
comment on table public.fee_events is
  'One charge, or the reversal of one (specification, 3.2), with its explanation. Written by triggers only; nothing of it ever '
  'changes but the link to its settlement.';
comment on column public.fee_events.subject_type is 'What was charged for: voucher_booking, transfer, mortgage_contract.';
comment on column public.fee_events.amount_cents is
  'The currency''s minor unit: unrounded, rounded half away from zero, or the bound that applied; negative for a reversal.';
comment on column public.fee_events.beneficiary_id is 'To whom it is owed: the fee''s beneficiary when it was charged.';
comment on column public.fee_events.base_cents is 'What the percentage was taken of, in the currency''s minor unit.';
comment on column public.fee_events.rate is 'The percentage as a fraction: 0.02 is 2 percent.';
comment on column public.fee_events.fixed_cents is 'The fixed part, in the currency''s minor unit.';
comment on column public.fee_events.unrounded is 'base_cents * rate + fixed_cents, exactly.';
comment on column public.fee_events.bound is 'Which bound of the fee applied: minimum, maximum, or null.';
comment on column public.fee_events.reverses is 'The charge that this row takes back.';
comment on column public.fee_events.settlement_id is 'Where it is settled; null until then, and again when that settlement is voided.';

create index fee_events_beneficiary_id_idx on public.fee_events (beneficiary_id, created_at);
create index fee_events_settlement_id_idx on public.fee_events (settlement_id);
create index fee_events_unsettled_idx on public.fee_events (created_at) where settlement_id is null;

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.fee_events
  alter column bound set statistics 0;

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
    or beneficiary_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

-- every column but settlement_id
create trigger tg_fee_events__refuse
before delete or truncate or update of
  id, fee_id, subject_type, subject_id, amount_cents, currency, created_at, beneficiary_id, base_cents, rate, fixed_cents,
  unrounded, bound, reverses
on public.fee_events
for each statement execute function private.tg_append_only__refuse();

create function private.fee_charges(fee public.fees, base bigint, base_currency text)
returns table (
  amount_cents bigint,
  currency     text,
  base_cents   bigint,
  rate         numeric,
  fixed_cents  bigint,
  unrounded    numeric,
  bound        text
)
language plpgsql -- which keeps the plan for the next one
immutable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  with parts (currency, base, rate, fixed, is_whole) as (
    -- everything in one currency; nothing is nothing in any currency
    select coalesce(fee.currency, fee_charges.base_currency), fee_charges.base, fee.percentage, fee.fixed_amount, true
    where fee_charges.base = 0 or fee.currency is null or fee.currency = fee_charges.base_currency
    union all
    -- else each part in its own, and no bound: there is no rate at which to compare
    select part.*
    from (
      values (fee_charges.base_currency, fee_charges.base, fee.percentage, 0, false), (fee.currency, 0, 0, fee.fixed_amount, false)
    ) part
    where fee_charges.base <> 0 and fee.currency <> fee_charges.base_currency
  ),
  sums as (select p.*, p.base * p.rate + p.fixed as sum from parts p),
  bounded as (
    select s.*,
      case
        when s.is_whole and s.sum < fee.min_cents then 'minimum'
        when s.is_whole and s.sum > fee.max_cents then 'maximum'
      end as bound
    from sums s
  )
  select
    case b.bound when 'minimum' then fee.min_cents when 'maximum' then fee.max_cents else round(b.sum)::bigint end,
    b.currency, b.base, b.rate, b.fixed, b.sum, b.bound
  from bounded b
  -- what costs nothing leaves no trace
  where b.sum > 0 or b.bound is not null;
end;
$$;

comment on function private.fee_charges is
  'What a fee charges for something worth base in the currency''s minor unit (not negative): percentage plus fixed part, rounded '
  'once, half away from zero, and kept within the fee''s bounds. Where base is in another currency than the fee''s, the '
  'percentage is charged in the one and the fixed part in the other, without bounds. No row where nothing is charged.';

create function private.charge(scope text, subject_type text, subject_id text, base bigint, currency text)
returns void
language plpgsql -- which keeps the plan for the next one
volatile
set search_path = ''
as $$
begin
  insert into public.fee_events (
    fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, base_cents, rate, fixed_cents, unrounded, bound
  )
  select
    f.id, charge.subject_type, charge.subject_id, c.amount_cents, c.currency, f.beneficiary_id, c.base_cents, c.rate,
    c.fixed_cents, c.unrounded, c.bound
  from public.fees f
  cross join lateral private.fee_charges(f, coalesce(charge.base, 0), private.currency_code(charge.currency)) c
  where f.active and f.scope = charge.scope;
end;
$$;

comment on function private.charge is
  'Charges every active fee of a scope for a subject worth base in the currency''s minor unit (null: nothing). For triggers.';

create function private.tg_vouchers__keep_price()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from public.voucher_bookings b where b.voucher_id = new.id and b.status = 'booked') then
    raise sqlstate 'PT409' using message = 'voucher_is_booked';
  end if;
  return new;
end;
$$;

comment on function private.tg_vouchers__keep_price is
  'The price of a voucher that is booked stays as it was charged. Refuses: voucher_is_booked (409).';

create trigger tg_vouchers__keep_price
  before update of price_amount, price_currency on public.vouchers
  for each row
  when ((old.price_amount, old.price_currency) is distinct from (new.price_amount, new.price_currency))
  execute function private.tg_vouchers__keep_price();

create function private.tg_voucher_bookings__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge('voucher', 'voucher_booking', new.id, v.price_amount, v.price_currency)
  from public.vouchers v
  where v.id = new.voucher_id;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__charge is
  'Charges the fees of a booking, of the voucher''s price, in the transaction of the booking (specification, 3.2).';

create trigger tg_voucher_bookings__charge
  after insert on public.voucher_bookings
  for each row
  when (new.status = 'booked')
  execute function private.tg_voucher_bookings__charge();

create function private.tg_voucher_bookings__reverse()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, reverses)
  select c.fee_id, c.subject_type, c.subject_id, -c.amount_cents, c.currency, c.beneficiary_id, c.id
  from public.fee_events c
  where c.subject_type = 'voucher_booking' and c.subject_id = new.id and c.reverses is null
  on conflict (reverses) do nothing;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__reverse is
  'Takes back what was charged for a booking that is cancelled: a new row each, owed by whom the charge was owed to.';

create trigger tg_voucher_bookings__reverse
  after update of status on public.voucher_bookings
  for each row
  when (old.status = 'booked' and new.status = 'cancelled')
  execute function private.tg_voucher_bookings__reverse();

create function private.tg_transfers__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge('transfer', 'transfer', new.id, new.fiat_amount, new.fiat_currency);
  return null;
end;
$$;

comment on function private.tg_transfers__charge is
  'Charges the fees of a transfer, of its fiat amount. A correction (a negative amount) is charged nothing, and gives nothing back: '
  'who logs it is nobody to decide that.';

create trigger tg_transfers__charge
  after insert on public.transfers
  for each row
  when (new.fiat_amount >= 0)
  execute function private.tg_transfers__charge();

create function private.tg_mortgage_contracts__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  offered  jsonb;
  amount   bigint;
  currency text;
begin
  select o.loan, a.desired_loan, a.currency into offered, amount, currency
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = new.offer_id;

  -- the lender's own words, where they are an amount of money; else what the borrower asked for
  if jsonb_typeof(offered -> 'amount') = 'number' then
    if (offered ->> 'amount')::numeric between 0 and 9007199254740991 then
      amount := round((offered ->> 'amount')::numeric);
      currency := coalesce(case jsonb_typeof(offered -> 'currency') when 'string' then offered ->> 'currency' end, currency, 'EUR');
    end if;
  end if;

  perform private.charge('mortgage', 'mortgage_contract', new.id, amount, currency);
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__charge is
  'Charges the fees of a mortgage, of the accepted loan: the offer''s {amount, currency}, or the application''s desired loan.';

create trigger tg_mortgage_contracts__charge
  after insert on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__charge();

create function private.check_settlement_totals(settlements uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  wrong uuid;
begin
  -- who changes the events of one settlement at the same time waits here, and counts what the other one left
  perform from public.settlements s where s.id = any (check_settlement_totals.settlements) order by s.id for no key update;

  select s.id into wrong
  from public.settlements s
  left join lateral (
    select sum(e.amount_cents) as total, count(*) as events from public.fee_events e where e.settlement_id = s.id
  ) linked on true
  where s.id = any (check_settlement_totals.settlements)
    and case s.status when 'voided' then linked.events > 0 else s.total_cents <> coalesce(linked.total, 0) end
  limit 1;

  if found then
    raise check_violation using
      constraint = 'total_is_the_sum_of_its_fee_events',
      message = format('settlement %s violates constraint "total_is_the_sum_of_its_fee_events"', wrong);
  end if;
end;
$$;

comment on function private.check_settlement_totals is
  'Raises check_violation unless each of these settlements totals its fee events; a voided one has none.';

create function private.tg_fee_events__begin_unsettled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using message = 'append_only', detail = 'a new fee event is in no settlement';
end;
$$;

comment on function private.tg_fee_events__begin_unsettled is 'A new fee event is in no settlement, whoever writes it: append_only (403).';

create trigger tg_fee_events__begin_unsettled
  before insert on public.fee_events
  for each row
  when (new.settlement_id is not null)
  execute function private.tg_fee_events__begin_unsettled();

create function private.tg_fee_events__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.check_settlement_totals(
    array(
      select o.settlement_id from old_rows o where o.settlement_id is not null
      union
      select n.settlement_id from new_rows n where n.settlement_id is not null
    )
  );
  return null;
end;
$$;

comment on function private.tg_fee_events__total is
  'Whatever links fee events to a settlement, or releases them, leaves it with the total of its fee events.';

create trigger tg_fee_events__total
  after update on public.fee_events
  referencing old table as old_rows new table as new_rows
  for each statement
  execute function private.tg_fee_events__total();

create function private.tg_settlements__move()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  movable text[] := array['status', 'invoiced_at', 'paid_at', 'voided_at', 'void_reason'];
begin
  if tg_op = 'INSERT' then
    if new.status <> 'open' then
      raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = 'none';
    end if;
    return new;
  end if;
  if to_jsonb(old) - movable <> to_jsonb(new) - movable then
    raise sqlstate 'PT403' using message = 'append_only', detail = 'of a settlement only the status changes';
  end if;
  if (old.status, new.status) not in (
    ('open', 'invoiced'), ('invoiced', 'paid'), ('open', 'voided'), ('invoiced', 'voided')
  ) then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = old.status;
  end if;

  new.invoiced_at := case new.status when 'invoiced' then now() else old.invoiced_at end;
  new.paid_at := case new.status when 'paid' then now() end;
  new.voided_at := case new.status when 'voided' then now() end;
  return new;
end;
$$;

comment on function private.tg_settlements__move is
  'Lets a settlement begin as open, and go from open to invoiced to paid, and from open or invoiced to voided; notes when. Refuses: '
  'settlement_move_refused (409, with the present status as detail), append_only (403) for any other change.';

create trigger tg_settlements__move
  before insert or update on public.settlements
  for each row
  execute function private.tg_settlements__move();

create function private.tg_settlements__release()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.fee_events e set settlement_id = null where e.settlement_id = new.id;
  return null;
end;
$$;

comment on function private.tg_settlements__release is 'Releases the fee events of a voided settlement, to be settled anew.';

create trigger tg_settlements__release
  after update of status on public.settlements
  for each row
  when (new.status = 'voided')
  execute function private.tg_settlements__release();

create function private.tg_settlements__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.check_settlement_totals(array[new.id]);
  return null;
end;
$$;

comment on function private.tg_settlements__total is
  'A new settlement totals its fee events: those that the same statement has linked to it.';

create trigger tg_settlements__total
  after insert on public.settlements
  for each row
  execute function private.tg_settlements__total();

create function private.tg_settlements__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    case new.status
      when 'open' then 'settlement.created'
      when 'invoiced' then 'settlement.invoiced'
      when 'paid' then 'settlement.paid'
      when 'voided' then 'settlement.voided'
    end,
    private.known_actor(),
    'settlement',
    new.id,
    jsonb_strip_nulls(
      jsonb_build_object(
        'beneficiary', private.uid_of(new.beneficiary_id),
        'periodFrom', new.period_from,
        'periodTo', new.period_to,
        'totalCents', new.total_cents,
        'currency', new.currency,
        'reason', left(new.void_reason, 1000)
      )
    )
  );
  return null;
end;
$$;

comment on function private.tg_settlements__write_event is
  'Writes the events settlement.created, settlement.invoiced, settlement.paid and settlement.voided.';

create trigger tg_settlements__write_event
  after insert or update of status on public.settlements
  for each row
  execute function private.tg_settlements__write_event();

create function private.settlement_json(settlement public.settlements)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(settlement) || jsonb_build_object('beneficiary_uid', private.uid_of(settlement.beneficiary_id))
$$;

comment on function private.settlement_json is 'A settlement as the functions return it: its columns, and the beneficiary''s uid.';

grant execute on function private.settlement_json to service_role, authenticated;

create function private.due_fee_events(period_end timestamptz)
returns table (id uuid, beneficiary_id uuid, currency text, amount_cents bigint, reverses uuid, part numeric)
language sql
stable
rows 100000
set search_path = ''
as $$
  select
    e.id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses,
    div(
      sum(abs(e.amount_cents)) over (partition by e.beneficiary_id, e.currency order by e.id rows unbounded preceding),
      4000000000000000000
    )
  from public.fee_events e
  where e.settlement_id is null and e.created_at < due_fee_events.period_end
$$;

comment on function private.due_fee_events is
  'The fee events that are in no settlement and were written before a time. part numbers the settlements that a beneficiary and '
  'currency needs: one, unless somebody drives the amounts so high that a bigint cannot hold their sum, which must not keep '
  'everybody else from being paid.';

create function public.settle_fees(period_from date, period_to date, dry_run boolean default false)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  period_end  timestamptz;
  settlements jsonb;
begin
  perform private.require_admin();
  -- in years that clients can read; a null or infinite date is in none
  if not coalesce(
    settle_fees.period_from >= '0001-01-01' and settle_fees.period_from < settle_fees.period_to
    and settle_fees.period_to < '10000-01-01',
    false
  ) then
    raise sqlstate 'PT400' using message = 'period_invalid';
  end if;
  select settle_fees.period_to::timestamp at time zone s.time_zone into period_end from private.settings s;

  if coalesce(settle_fees.dry_run, false) then
    select coalesce(jsonb_agg(to_jsonb(due) order by due.beneficiary_uid, due.currency), '[]') into settlements
    from (
      select
        null::uuid as id, e.beneficiary_id, private.uid_of(e.beneficiary_id) as beneficiary_uid,
        settle_fees.period_from, settle_fees.period_to, e.currency, sum(e.amount_cents) as total_cents,
        count(*) as fee_events, count(e.reverses) as reversals
      from private.due_fee_events(period_end) e
      group by e.beneficiary_id, e.currency, e.part
    ) due;
    return settlements;
  end if;

  -- one after the other; bookings go on, because they never look at settlements
  lock table public.settlements in share row exclusive mode;

  -- one statement, so that a settlement is the sum of exactly those fee events that were linked to it. What commits
  -- later is not seen here, and left for the next time
  with due as materialized (
    select * from private.due_fee_events(period_end)
  ),
  new as materialized (
    select private.new_uuid() as id, d.beneficiary_id, d.currency, d.part
    from due d
    group by d.beneficiary_id, d.currency, d.part
  ),
  linked as (
    update public.fee_events e
    set settlement_id = n.id
    from due d
    join new n on (n.beneficiary_id, n.currency, n.part) = (d.beneficiary_id, d.currency, d.part)
    where e.id = d.id and e.settlement_id is null
    returning e.settlement_id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses
  ),
  sums as (
    select
      l.settlement_id as id, l.beneficiary_id, l.currency,
      sum(l.amount_cents) as total_cents, count(*) as fee_events, count(l.reverses) as reversals
    from linked l
    group by l.settlement_id, l.beneficiary_id, l.currency
  ),
  made as (
    insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency)
    select s.id, s.beneficiary_id, settle_fees.period_from, settle_fees.period_to, s.total_cents, s.currency
    from sums s
    returning *
  )
  select
    coalesce(
      jsonb_agg(
        private.settlement_json(m::public.settlements)
          || jsonb_build_object('fee_events', s.fee_events, 'reversals', s.reversals)
        order by private.uid_of(m.beneficiary_id), m.currency
      ),
      '[]'
    )
  into settlements
  from made m
  join sums s on s.id = m.id;

  return settlements;
end;
$$;

comment on function public.settle_fees is
  'Settles every fee event that is in no settlement and was written before the period''s end: period_from until (not including) '
  'period_to, days in the time zone of private.settings. What an earlier period left, because it was committed late or that '
  'period was missed or voided, is settled with it. Writes one settlement a beneficiary and currency, and returns them with their '
  'fee_events and reversals (counts); with dry_run writes nothing, and returns what it would settle, with a null id. Run again, or '
  'by two at once, nothing is settled twice. Refuses: period_invalid (400), not_an_admin (403).';

grant execute on function public.settle_fees to authenticated, service_role;

create function private.due_months()
returns setof date
language sql
stable
set search_path = ''
as $$
  select distinct date_trunc('month', e.created_at at time zone s.time_zone)::date as month
  from public.fee_events e
  cross join private.settings s
  where e.settlement_id is null
    and date_trunc('month', e.created_at at time zone s.time_zone) < date_trunc('month', now() at time zone s.time_zone)
  order by month
$$;

comment on function private.due_months is
  'The months that are over and have fee events in no settlement, as their first days, oldest first: the last month, and whichever '
  'was missed, was voided, or got a fee event after it was settled. Months of the time zone of private.settings.';

create function private.settle_due_months()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  month date;
  made  bigint := 0;
begin
  for month in select m from private.due_months() as m loop
    made := made + jsonb_array_length(public.settle_fees(month, (month + interval '1 month')::date));
  end loop;
  return made;
end;
$$;

comment on function private.settle_due_months is
  'Settles every month that is due (private.due_months), each for itself, oldest first. Returns how many settlements were made.';

create function private.move_settlement(settlement_id uuid, status text, reason text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  settlement public.settlements;
begin
  perform private.require_admin();

  -- which moves there are says the table's trigger, whoever moves it
  update public.settlements s
  set status = move_settlement.status, void_reason = move_settlement.reason
  where s.id = move_settlement.settlement_id
  returning * into settlement;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;

  return private.settlement_json(settlement);
end;
$$;

comment on function private.move_settlement is
  'Gives a settlement another status. Refuses: not_an_admin (403), settlement_not_found (404), settlement_move_refused (409).';

grant execute on function private.move_settlement to authenticated, service_role;

create function public.invoice_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(invoice_settlement.settlement_id, 'invoiced')
$$;

comment on function public.invoice_settlement is
  'Notes that an open settlement is invoiced; no money is moved. Returns the settlement. Refuses: not_an_admin (403), '
  'settlement_not_found (404), settlement_move_refused (409, with the present status as detail).';

grant execute on function public.invoice_settlement to authenticated, service_role;

create function public.pay_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(pay_settlement.settlement_id, 'paid')
$$;

comment on function public.pay_settlement is
  'Notes that an invoiced settlement is paid; no money is moved. Returns the settlement. Refuses: not_an_admin (403), '
  'settlement_not_found (404), settlement_move_refused (409, with the present status as detail).';

grant execute on function public.pay_settlement to authenticated, service_role;

create function public.void_settlement(settlement_id uuid, reason text default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.move_settlement(void_settlement.settlement_id, 'voided', void_settlement.reason)
$$;

comment on function public.void_settlement is
  'Voids an open or invoiced settlement: it stays as it was, and its fee events are released, to be settled anew. Returns the '
  'settlement. Refuses: not_an_admin (403), settlement_not_found (404), settlement_move_refused (409, with the present status as '
  'detail).';

grant execute on function public.void_settlement to authenticated, service_role;

create function public.list_settlements(
  beneficiary_uid text    default null,
  status          text    default null,
  max_rows        integer default 200
)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(jsonb_agg(private.settlement_json(s) order by s.period_from desc, s.created_at desc, s.id desc), '[]')
  from (
    select *
    from public.settlements s
    where (list_settlements.beneficiary_uid is null or s.beneficiary_id = private.thinker_id(list_settlements.beneficiary_uid))
      and (list_settlements.status is null or s.status = list_settlements.status)
    order by s.period_from desc, s.created_at desc, s.id desc
    limit least(greatest(list_settlements.max_rows, 1), 1000)
  ) s
$$;

comment on function public.list_settlements is
  'The settlements that fit every given filter, latest period first: max_rows of them, from 1 to 1000. Refuses: not_an_admin (403).';

grant execute on function public.list_settlements to service_role, authenticated;

create function public.get_settlement(settlement_id uuid, after uuid default null, max_rows integer default 1000)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  settlement public.settlements;
  figures    jsonb;
  page       jsonb;
begin
  perform private.require_admin();
  select * into settlement from public.settlements s where s.id = get_settlement.settlement_id;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;

  select jsonb_build_object(
    'fee_events', count(*),
    'charged_cents', coalesce(sum(e.amount_cents) filter (where e.reverses is null), 0),
    'reversed_cents', coalesce(sum(e.amount_cents) filter (where e.reverses is not null), 0)
  )
  into figures
  from public.fee_events e
  where e.settlement_id = settlement.id;

  -- with more digits than a double holds, which is what most readers of JSON make of a number
  select coalesce(
    jsonb_agg(to_jsonb(e) || jsonb_build_object('unrounded', trim_scale(e.unrounded)::text) order by e.id), '[]'
  )
  into page
  from (
    select *
    from public.fee_events e
    where e.settlement_id = settlement.id and (get_settlement.after is null or e.id > get_settlement.after)
    order by e.id
    limit least(greatest(get_settlement.max_rows, 1), 10000)
  ) e;

  return private.settlement_json(settlement) || figures || jsonb_build_object('items', page);
end;
$$;

comment on function public.get_settlement is
  'One settlement with its figures (fee_events, charged_cents, reversed_cents) and, as items, its fee events in the order of their '
  'ids, which is that of time: max_rows of them, from 1 to 10000, after the one with the id `after`; unrounded is a text, with every '
  'digit. A voided settlement has none any more. Refuses: not_an_admin (403), settlement_not_found (404).';

grant execute on function public.get_settlement to service_role, authenticated;

create function public.list_fees()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(
    jsonb_agg(
      to_jsonb(f) || jsonb_build_object(
        'beneficiary_uid', private.uid_of(f.beneficiary_id),
        'versions', (
          select jsonb_agg(
            to_jsonb(v) || jsonb_build_object('beneficiary_uid', private.uid_of(v.beneficiary_id))
            order by v.valid_from desc, v.id desc
          )
          from public.fee_versions v
          where v.fee_id = f.id
        )
      )
      order by f.id
    ),
    '[]'
  )
  from public.fees f
$$;

comment on function public.list_fees is
  'The fees, and of each its versions, newest first: the first is what is in force. Refuses: not_an_admin (403).';

grant execute on function public.list_fees to service_role, authenticated;
