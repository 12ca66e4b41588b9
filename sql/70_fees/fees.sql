create table public.fees (
  id             text         primary key,
  scope          text         not null,
  percentage     numeric(6,4) not null default 0,
  fixed_amount   bigint       not null default 0,
  currency       text,
  active         boolean      not null default false,
  meta           jsonb        not null default '{}',
  beneficiary_id uuid         references public.thinkers (id) on delete restrict,

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
comment on column public.fees.beneficiary_id is 'To whom what is charged is owed; null for the portal itself.';

create index fees_beneficiary_id_idx on public.fees (beneficiary_id);

alter table public.fees enable row level security;

grant select on public.fees to service_role, authenticated;

create policy "the signed-in see the prices"
  on public.fees
  for select
  to authenticated
  using (true);
