create table public.fee_versions (
  id             uuid         primary key default private.new_uuid(),
  fee_id         text         collate "C" not null references public.fees (id) on delete restrict,
  scope          text         not null,
  percentage     numeric      not null,
  fixed_amount   bigint       not null,
  min_cents      bigint,
  max_cents      bigint,
  currency       text         collate "C",
  active         boolean      not null,
  beneficiary_id uuid         not null references public.thinkers (id) on delete restrict,
  valid_from     timestamptz  not null default clock_timestamp(),
  reversed_after_start boolean not null default false,
  payer          text,
  changed_by     text         not null default private.operator_name(),

  constraint percentage_is_a_fraction check (percentage between 0 and 1),
  constraint percentage_has_at_most_four_decimals check (min_scale(percentage) <= 4)
);

comment on table public.fee_versions is
  'Every version of every fee, written by a trigger with each change, so that each charge can be traced to its rule.';
comment on column public.fee_versions.fixed_amount is
  'In the minor unit (cents) of the version''s currency, like min_cents and max_cents.';
comment on column public.fee_versions.valid_from is
  'When the change was made; the version applies until the next version of the fee.';

comment on column public.fee_versions.changed_by is 'Who made the change (private.operator_name).';

create index fee_versions_fee_id_idx on public.fee_versions (fee_id, valid_from);
create index fee_versions_beneficiary_id_idx on public.fee_versions (beneficiary_id);

alter table public.fee_versions enable row level security;

grant select on public.fee_versions to service_role, authenticated;

create policy "the signed-in see what the prices were"
  on public.fee_versions
  for select
  to authenticated
  using (true);

create policy "requests are valid"
  on public.fee_versions
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_fee_versions__refuse
before update or delete or truncate on public.fee_versions
for each statement execute function private.tg_append_only__refuse();

-- the first versions; later ones are written by tg_fees__keep_version
insert into public.fee_versions (
  fee_id, scope, percentage, fixed_amount, min_cents, max_cents, currency, active, beneficiary_id
)
select f.id, f.scope, f.percentage, f.fixed_amount, f.min_cents, f.max_cents, f.currency, f.active, f.beneficiary_id
from public.fees f;
