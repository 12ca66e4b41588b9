create table public.mortgage_contracts (
  id                 text        primary key default private.new_id('mort-contract'),
  offer_id           text        not null unique references public.mortgage_offers (id) on delete restrict,
  contract_id        uuid        references public.contracts (id) on delete restrict,
  status             text        not null default 'draft',
  borrower_signed_at timestamptz,
  lender_signed_at   timestamptz,
  notary_signed_at   timestamptz,
  created_at         timestamptz not null default now(),
  updated_at         timestamptz,

  constraint mortgage_contract_status_is_valid check (status in ('draft', 'signed', 'archived')),
  constraint contract_is_a_draft_until_three_have_signed
    check ((status = 'draft') = (num_nulls(borrower_signed_at, lender_signed_at, notary_signed_at) > 0)),
  constraint signed_contract_was_updated
    check (updated_at is not null or num_nonnulls(borrower_signed_at, lender_signed_at, notary_signed_at) = 0),
  constraint mortgage_contract_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar
    check (private.in_calendar(created_at, borrower_signed_at, lender_signed_at, notary_signed_at, updated_at))
);

comment on table public.mortgage_contracts is
  'What an accepted offer becomes: one contract an offer (specification, 1.4). Written by accept_mortgage_offer and sign_mortgage_contract.';
comment on column public.mortgage_contracts.contract_id is 'The document, once there is one.';
comment on column public.mortgage_contracts.updated_at is 'Of the last signature, null before the first.';

create index mortgage_contracts_contract_id_idx on public.mortgage_contracts (contract_id);
create index mortgage_contracts_created_at_idx on public.mortgage_contracts (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.mortgage_contracts
  alter column id set statistics 0,
  alter column offer_id set statistics 0;

alter table public.mortgage_contracts enable row level security;

grant select on public.mortgage_contracts to service_role, authenticated;

-- money hangs on them
create trigger tg_mortgage_contracts__refuse
before delete or truncate on public.mortgage_contracts
for each statement execute function private.tg_append_only__refuse();
