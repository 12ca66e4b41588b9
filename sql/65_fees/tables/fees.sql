create table public.fees (
  id             text         collate "C" primary key,
  scope          text         not null,
  percentage     numeric     not null default 0,
  fixed_amount   bigint       not null default 0,
  min_cents      bigint,
  max_cents      bigint,
  currency       text         collate "C",
  active         boolean      not null default false,
  beneficiary_id uuid         not null default '6753616d-40b8-8b53-8e99-7b58caa8f8f6'
                              references public.thinkers (id) on delete restrict,
  meta           jsonb        not null default '{}',
  reversed_after_start boolean not null default false,
  payer          text,

  constraint fee_scope_is_valid check (scope in ('voucher', 'transfer', 'room', 'mortgage')),
  constraint payer_takes_part check (
    case scope
      when 'voucher' then payer in ('issuer', 'holder')
      when 'transfer' then payer = 'thinker'
      when 'mortgage' then payer in ('lender', 'borrower')
      else payer is null
    end
  ),
  constraint percentage_is_a_fraction check (percentage between 0 and 1),
  constraint percentage_has_at_most_four_decimals check (min_scale(percentage) <= 4),
  constraint fixed_amount_is_not_negative check (fixed_amount >= 0),
  constraint fixed_amount_has_a_currency check (fixed_amount = 0 or currency is not null),
  constraint fee_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint fee_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint bounds_have_a_currency check (num_nonnulls(min_cents, max_cents) = 0 or currency is not null),
  constraint minimum_is_at_most_the_maximum check (min_cents <= max_cents),
  constraint fixed_amount_is_at_most_the_maximum check (fixed_amount <= max_cents),
  constraint amounts_are_safe check (
    fixed_amount <= 9007199254740991
    and min_cents between 0 and 9007199254740991
    and max_cents between 0 and 9007199254740991
  )
);

comment on table public.fees is
  'The rules about what is charged for what, such as voucher.booking and transfer.logged. Every active fee is charged '
  'for each booking, transfer or accepted mortgage of its scope (room: not charged yet). Operators change the rows; '
  'fee_versions keeps each version.';
comment on column public.fees.percentage is
  'A fraction of the voucher''s price, the transfer''s fiat amount or the accepted loan: 0.02 is 2 percent. Its '
  'values are those of numeric(6,4), but a fifth decimal is refused, where that type would round it.';
comment on column public.fees.fixed_amount is 'In the minor unit (cents) of the fee''s currency.';
comment on column public.fees.min_cents is
  'The minimum charge, in the minor unit of the fee''s currency; applies if the whole charge is in that currency.';
comment on column public.fees.max_cents is 'The maximum charge, under the same conditions as min_cents.';
comment on column public.fees.currency is 'The currency of fixed_amount, min_cents and max_cents.';
comment on column public.fees.reversed_after_start is
  'Whether a booking that is cancelled from the start of its slot on gets the charge back, as one that is cancelled '
  'earlier does.';
comment on column public.fees.payer is
  'Who owes the charges made from now on: issuer or holder of a booking, the thinker of a transfer, lender or borrower '
  'of a mortgage. If null: the issuer, the thinker, the lender.';
comment on column public.fees.beneficiary_id is
  'The thinker who is owed the charges made from now on; by default the thinker togethersystems, the portal itself.';

create index fees_beneficiary_id_idx on public.fees (beneficiary_id);

alter table public.fees enable row level security;

grant select on public.fees to service_role, authenticated;

create policy "the signed-in see the prices"
  on public.fees
  for select
  to authenticated
  using (true);

create policy "requests are valid"
  on public.fees
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_fees__refuse_currency
before insert or update of currency on public.fees
for each row
when (private.is_currency(new.currency) is false)
execute function private.tg_currency__refuse();

-- the beneficiary of the portal's own fees
insert into public.thinkers (id, public_id) values (private.thinker_id('togethersystems'), 'togethersystems');

insert into public.fees (id, scope, percentage, active)
values ('voucher.booking', 'voucher', 0.02, true), ('transfer.logged', 'transfer', 0, false);
