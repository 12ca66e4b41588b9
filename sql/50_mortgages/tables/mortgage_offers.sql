create table public.mortgage_offers (
  id              text         collate "C" primary key default private.new_id('mort-offer'),
  application_id  text         collate "C" not null references public.mortgage_applications (id) on delete restrict,
  lender_id       uuid         not null references public.thinkers (id) on delete restrict,
  interest_rate   numeric,
  monthly_payment bigint,
  loan            jsonb,
  interest        jsonb,
  repayment       jsonb,
  fees            jsonb,
  validity        jsonb,
  terms_ref       jsonb,
  room_refs       jsonb        not null,
  loan_amount     bigint,
  loan_currency   text         collate "C",
  status          text         not null default 'open',
  created_at      timestamptz  not null default now(),

  constraint offer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint interest_rate_is_a_fraction check (interest_rate between 0 and 99.9999),
  constraint interest_rate_has_at_most_four_decimals check (min_scale(interest_rate) <= 4),
  constraint monthly_payment_is_a_safe_amount check (monthly_payment between 0 and 9007199254740991),
  constraint loan_amount_is_a_safe_amount check (loan_amount between 0 and 9007199254740991),
  constraint offered_loan_has_amount_and_currency check ((loan_amount is null) = (loan_currency is null)),
  constraint offer_status_is_valid check (status in ('open', 'accepted', 'withdrawn')),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.mortgage_offers is
  'Offers of lenders for applications. Written by offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_offers.interest_rate is
  'A fraction a year: 0.031 is 3.1 percent. Its values are those of numeric(6,4), but a fifth decimal is refused, '
  'where that type would round it.';
comment on column public.mortgage_offers.monthly_payment is 'In the minor unit (cents) of the application''s currency.';
comment on column public.mortgage_offers.loan is
  'Free JSON of the lender, like interest, repayment, fees, validity and terms_ref (docs/compatibility.md).';
comment on column public.mortgage_offers.loan_amount is
  'The loan that is offered, in the minor unit of loan_currency: what the borrower accepts, and the base of the '
  'fees. Told apart from the free JSON by private.tg_mortgage_offers__set_loan; null if neither side named an '
  'amount.';
comment on column public.mortgage_offers.room_refs is
  'The rooms of the negotiation: {negotiationRoomId, contractRoomId}.';

create index mortgage_offers_application_id_idx on public.mortgage_offers (application_id, created_at);
create index mortgage_offers_lender_id_idx on public.mortgage_offers (lender_id, created_at);
create index mortgage_offers_created_at_idx on public.mortgage_offers (created_at);
create unique index one_offer_of_an_application_is_accepted
  on public.mortgage_offers (application_id) where status = 'accepted';

-- no planner statistics, see 10_core/privileges.sql
alter table public.mortgage_offers
  alter column id set statistics 0,
  alter column application_id set statistics 0,
  alter column loan_currency set statistics 0;

alter table public.mortgage_offers enable row level security;

grant select on public.mortgage_offers to service_role, authenticated;

create trigger tg_mortgage_offers__refuse_json
before insert or update of loan, interest, repayment, fees, validity, terms_ref, room_refs on public.mortgage_offers
for each row
when (
  not private.check_json(
    jsonb_build_array(
      new.loan, new.interest, new.repayment, new.fees, new.validity, new.terms_ref, new.room_refs
    ),
    levels => 64
  )
)
execute function private.tg_json__refuse();
