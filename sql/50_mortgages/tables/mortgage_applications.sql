create table public.mortgage_applications (
  id             text         collate "C" primary key default private.new_id('app'),
  property_id    text         collate "C" references public.properties (id) on delete restrict,
  borrower_id    uuid         not null references public.thinkers (id) on delete restrict,
  desired_loan   bigint,
  currency       text         collate "C",
  duration_years integer,
  rate_type      text,
  max_interest   numeric,
  status         text         collate "C" not null default 'open',
  visibility     text         not null default 'private',
  meta           jsonb        not null default '{}',
  submission_ts  timestamptz  not null default now(),
  created_at     timestamptz  not null default now(),

  constraint application_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint desired_loan_is_a_safe_amount check (desired_loan between 0 and 9007199254740991),
  constraint loan_has_amount_and_currency check ((desired_loan is null) = (currency is null)),
  constraint currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint duration_is_1_to_100_years check (duration_years between 1 and 100),
  constraint rate_type_is_valid check (rate_type in ('fixed', 'variable')),
  constraint max_interest_is_a_fraction check (max_interest between 0 and 99.9999),
  constraint max_interest_has_at_most_four_decimals check (min_scale(max_interest) <= 4),
  constraint application_status_is_valid check (status in ('open', 'offered', 'accepted', 'rejected')),
  constraint visibility_has_1_to_32_characters check (char_length(visibility) between 1 and 32),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, submission_ts))
);

comment on table public.mortgage_applications is
  'Applications of borrowers for a mortgage. Written by apply_for_mortgage, offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_applications.desired_loan is 'In the currency''s minor unit (cents).';
comment on column public.mortgage_applications.max_interest is
  'A fraction a year: 0.04 is 4 percent. Its values are those of numeric(6,4), but a fifth decimal is refused, where '
  'that type would round it.';
comment on column public.mortgage_applications.visibility is
  'As sent by the borrower (private, public); restricts nothing yet, as in the legacy API.';
comment on column public.mortgage_applications.meta is
  'Further details from the borrower (income, other loans); any JSON.';
comment on column public.mortgage_applications.submission_ts is 'When it was submitted, by the server''s clock.';

create index mortgage_applications_property_id_idx on public.mortgage_applications (property_id);
create index mortgage_applications_borrower_id_idx on public.mortgage_applications (borrower_id, created_at);
create index mortgage_applications_status_idx on public.mortgage_applications (status, created_at);
create index mortgage_applications_created_at_idx on public.mortgage_applications (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.mortgage_applications
  alter column id set statistics 0,
  alter column property_id set statistics 0,
  alter column visibility set statistics 0;

alter table public.mortgage_applications enable row level security;

grant select on public.mortgage_applications to service_role, authenticated;

create trigger tg_mortgage_applications__refuse_currency
before insert or update of currency on public.mortgage_applications
for each row
when (private.is_currency(new.currency) is false)
execute function private.tg_currency__refuse();
