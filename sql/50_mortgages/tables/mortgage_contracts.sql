create table public.mortgage_contracts (
  id                 text        collate "C" primary key default private.new_id('mort-contract'),
  offer_id           text        collate "C" not null unique references public.mortgage_offers (id) on delete restrict,
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
  'Contracts made by accepting an offer, one an offer. Written by accept_mortgage_offer and sign_mortgage_contract.';
comment on column public.mortgage_contracts.contract_id is 'The document of the contract; null until there is one.';
comment on column public.mortgage_contracts.updated_at is 'The time of the last signature; null before the first.';

create index mortgage_contracts_contract_id_idx on public.mortgage_contracts (contract_id);
create index mortgage_contracts_created_at_idx on public.mortgage_contracts (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.mortgage_contracts
  alter column id set statistics 0,
  alter column offer_id set statistics 0;

alter table public.mortgage_contracts enable row level security;

grant select on public.mortgage_contracts to service_role, authenticated;

-- fees depend on these rows
create trigger tg_mortgage_contracts__refuse
before delete or truncate on public.mortgage_contracts
for each statement execute function private.tg_append_only__refuse();
