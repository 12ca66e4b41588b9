create table public.properties (
  id      text  primary key,
  address text,
  meta    jsonb not null default '{}',

  constraint property_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint meta_is_reasonable_json check (private.check_json(meta))
);

comment on table public.properties is 'What a mortgage is for (specification, 1.4). An application names it first; the address may follow.';

alter table public.properties enable row level security;

create table public.mortgage_applications (
  id             text         primary key default private.new_id('app'),
  property_id    text         references public.properties (id) on delete restrict,
  borrower_id    uuid         not null references public.thinkers (id) on delete restrict,
  desired_loan   bigint,
  currency       text,
  duration_years integer,
  rate_type      text,
  max_interest   numeric(6,4),
  status         text         not null default 'open',
  meta           jsonb        not null default '{}',
  created_at     timestamptz  not null default now(),
  visibility     text         not null default 'private',
  submission_ts  timestamptz  not null default now(),

  constraint application_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint desired_loan_is_a_safe_amount check (desired_loan between 0 and 9007199254740991),
  constraint loan_has_amount_and_currency check ((desired_loan is null) = (currency is null)),
  constraint currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint duration_is_1_to_100_years check (duration_years between 1 and 100),
  constraint rate_type_is_valid check (rate_type in ('fixed', 'variable')),
  constraint max_interest_is_a_fraction check (max_interest between 0 and 99.9999),
  constraint application_status_is_valid check (status in ('open', 'offered', 'accepted', 'rejected')),
  constraint visibility_has_1_to_32_characters check (char_length(visibility) between 1 and 32),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, submission_ts))
);

comment on table public.mortgage_applications is
  'What a borrower asks for (specification, 1.4). Written by apply_for_mortgage, offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_applications.desired_loan is 'The currency''s minor unit (cents).';
comment on column public.mortgage_applications.max_interest is 'A fraction a year: 0.04 is 4 percent.';
comment on column public.mortgage_applications.meta is 'What else the borrower says (income, other loans); any JSON.';
comment on column public.mortgage_applications.visibility is 'As the borrower sent it (private, public); restricts nothing yet, as in the legacy API.';
comment on column public.mortgage_applications.submission_ts is 'When it was handed in; the server''s time.';

create index mortgage_applications_property_id_idx on public.mortgage_applications (property_id);
create index mortgage_applications_borrower_id_idx on public.mortgage_applications (borrower_id, created_at);
create index mortgage_applications_status_idx on public.mortgage_applications (status, created_at);

alter table public.mortgage_applications enable row level security;

create table public.mortgage_offers (
  id              text         primary key default private.new_id('mort-offer'),
  application_id  text         not null references public.mortgage_applications (id) on delete restrict,
  lender_id       uuid         not null references public.thinkers (id) on delete restrict,
  interest_rate   numeric(6,4),
  monthly_payment bigint,
  status          text         not null default 'open',
  created_at      timestamptz  not null default now(),
  loan            jsonb,
  interest        jsonb,
  repayment       jsonb,
  fees            jsonb,
  validity        jsonb,
  terms_ref       jsonb,
  room_refs       jsonb        not null,

  constraint offer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint interest_rate_is_a_fraction check (interest_rate between 0 and 99.9999),
  constraint monthly_payment_is_a_safe_amount check (monthly_payment between 0 and 9007199254740991),
  constraint offer_status_is_valid check (status in ('open', 'accepted', 'withdrawn')),
  constraint json_is_reasonable check (
    private.check_json(loan) and private.check_json(interest) and private.check_json(repayment)
    and private.check_json(fees) and private.check_json(validity) and private.check_json(terms_ref)
    and private.check_json(room_refs)
  ),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.mortgage_offers is
  'What a lender offers for an application (specification, 1.4). Written by offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_offers.interest_rate is 'A fraction a year: 0.031 is 3.1 percent.';
comment on column public.mortgage_offers.monthly_payment is 'The minor unit (cents) of the application''s currency.';
comment on column public.mortgage_offers.loan is 'As the lender worded it; any JSON, like the six columns after it (contract, section 5).';
comment on column public.mortgage_offers.room_refs is 'The rooms of the negotiation: {negotiationRoomId, contractRoomId}.';

create index mortgage_offers_application_id_idx on public.mortgage_offers (application_id, created_at);
create index mortgage_offers_lender_id_idx on public.mortgage_offers (lender_id, created_at);
create unique index one_offer_of_an_application_is_accepted
  on public.mortgage_offers (application_id) where status = 'accepted';

alter table public.mortgage_offers enable row level security;

create table public.mortgage_contracts (
  id                 text        primary key default private.new_id('mort-contract'),
  offer_id           text        not null unique references public.mortgage_offers (id) on delete restrict,
  contract_id        uuid        references public.contracts (id) on delete restrict,
  status             text        not null default 'draft',
  created_at         timestamptz not null default now(),
  borrower_signed_at timestamptz,
  lender_signed_at   timestamptz,
  notary_signed_at   timestamptz,
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

alter table public.mortgage_contracts enable row level security;

create function private.application_json(application public.mortgage_applications)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(application) || jsonb_build_object('borrower_uid', private.uid_of(application.borrower_id))
$$;

comment on function private.application_json is 'An application as the functions return it: its columns, and the borrower''s uid.';

create function private.offer_json(offer public.mortgage_offers)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(offer) || jsonb_build_object(
    'lender_uid', private.uid_of(offer.lender_id),
    'borrower_uid', (
      select private.uid_of(a.borrower_id) from public.mortgage_applications a where a.id = offer.application_id
    )
  )
$$;

comment on function private.offer_json is 'An offer as the functions return it: its columns, and the uids of lender and borrower.';

create function private.mortgage_contract_json(contract public.mortgage_contracts)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(contract) || jsonb_build_object(
    'application_id', o.application_id,
    'lender_uid', private.uid_of(o.lender_id),
    'borrower_uid', private.uid_of(a.borrower_id)
  )
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = contract.offer_id
$$;

comment on function private.mortgage_contract_json is
  'A mortgage contract as the functions return it: its columns, the application''s id, and the uids of lender and borrower.';

create function private.check_interest(rate numeric)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- numeric(6,4) would round a fifth decimal away: nobody's interest rate is changed silently
  if rate not between 0 and 99.9999 or rate <> round(rate, 4) then
    raise sqlstate 'PT400' using message = 'interest_out_of_range';
  end if;
end;
$$;

comment on function private.check_interest is
  'Passes a fraction from 0 to 99.9999 with at most four decimals, and null. Refuses: interest_out_of_range (400).';

create function public.apply_for_mortgage(
  application_id text    default null,
  property_id    text    default null,
  desired_loan   bigint  default null,
  currency       text    default null,
  duration_years integer default null,
  rate_type      text    default null,
  max_interest   numeric default null,
  status         text    default null,
  visibility     text    default null,
  meta           jsonb   default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
begin
  if apply_for_mortgage.desired_loan not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if apply_for_mortgage.duration_years not between 1 and 100 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if lower(apply_for_mortgage.rate_type) not in ('fixed', 'variable') then
    raise sqlstate 'PT400' using message = 'rate_type_unknown';
  end if;
  if lower(apply_for_mortgage.status) not in ('open', 'offered', 'accepted', 'rejected') then
    raise sqlstate 'PT400' using message = 'application_status_unknown';
  end if;
  perform private.check_interest(apply_for_mortgage.max_interest);

  insert into public.properties (id)
  select apply_for_mortgage.property_id
  where apply_for_mortgage.property_id is not null
  on conflict (id) do nothing;

  insert into public.mortgage_applications (
    id, property_id, borrower_id, desired_loan, currency, duration_years, rate_type, max_interest, status, visibility, meta
  )
  values (
    coalesce(apply_for_mortgage.application_id, private.new_id('app')),
    apply_for_mortgage.property_id,
    borrower,
    apply_for_mortgage.desired_loan,
    case when apply_for_mortgage.desired_loan is not null then upper(coalesce(apply_for_mortgage.currency, 'EUR')) end,
    apply_for_mortgage.duration_years,
    lower(apply_for_mortgage.rate_type),
    apply_for_mortgage.max_interest,
    lower(coalesce(apply_for_mortgage.status, 'open')),
    coalesce(apply_for_mortgage.visibility, 'private'),
    coalesce(apply_for_mortgage.meta, '{}')
  )
  on conflict (id) do nothing
  returning * into application;
  if not found then
    raise sqlstate 'PT409' using message = 'application_exists';
  end if;

  return private.application_json(application);
end;
$$;

comment on function public.apply_for_mortgage is
  'Hands in the acting thinker''s application for a mortgage; an unknown property is noted. desired_loan is in minor units '
  '(cents), max_interest a fraction. Returns the application. Refuses: not_signed_in (401); amount_out_of_range, '
  'duration_out_of_range, rate_type_unknown, application_status_unknown, interest_out_of_range (400); application_exists (409).';

grant execute on function public.apply_for_mortgage to authenticated;

create function public.list_mortgage_applications(role text default 'borrower')
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if coalesce(list_mortgage_applications.role, '') not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_applications.role = 'lender' and not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'not_a_lender';
  end if;

  return (
    select coalesce(jsonb_agg(private.application_json(a) order by a.created_at, a.id), '[]')
    from public.mortgage_applications a
    where case list_mortgage_applications.role
      when 'borrower' then a.borrower_id = auth.uid()
      else a.status in ('open', 'offered')
    end
  );
end;
$$;

comment on function public.list_mortgage_applications is
  'As borrower: the actor''s own applications. As lender: everybody''s that are open or offered; for thinkers with the role '
  'lender and trusted servers. Oldest first. Refuses: role_unknown (400), not_a_lender (403).';

grant execute on function public.list_mortgage_applications to authenticated, service_role;

create function public.offer_mortgage(
  application_id  text,
  offer_id        text    default null,
  interest_rate   numeric default null,
  monthly_payment bigint  default null,
  loan            jsonb   default null,
  interest        jsonb   default null,
  repayment       jsonb   default null,
  fees            jsonb   default null,
  validity        jsonb   default null,
  terms_ref       jsonb   default null,
  room_refs       jsonb   default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  lender      uuid := private.acting_thinker();
  new_id      text := coalesce(offer_mortgage.offer_id, private.new_id('mort-offer'));
  room        text := 'mortgage:offer:' || new_id;
  application public.mortgage_applications;
  offer       public.mortgage_offers;
begin
  select * into application
  from public.mortgage_applications a
  where a.id = offer_mortgage.application_id
  for no key update;

  if not found then
    raise sqlstate 'PT404' using message = 'application_not_found';
  end if;
  if application.status not in ('open', 'offered') then
    raise sqlstate 'PT409' using message = 'application_closed', detail = application.status;
  end if;

  if offer_mortgage.monthly_payment not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  perform private.check_interest(offer_mortgage.interest_rate);

  insert into public.mortgage_offers (
    id, application_id, lender_id, interest_rate, monthly_payment,
    loan, interest, repayment, fees, validity, terms_ref, room_refs
  )
  values (
    new_id, application.id, lender, offer_mortgage.interest_rate, offer_mortgage.monthly_payment,
    offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment, offer_mortgage.fees,
    offer_mortgage.validity, offer_mortgage.terms_ref,
    coalesce(offer_mortgage.room_refs, jsonb_build_object('negotiationRoomId', room, 'contractRoomId', null))
  )
  on conflict (id) do nothing
  returning * into offer;
  if not found then
    raise sqlstate 'PT409' using message = 'offer_exists';
  end if;

  update public.mortgage_applications a set status = 'offered' where a.id = application.id and a.status = 'open';

  if offer_mortgage.room_refs is null then
    insert into public.rooms (id, owner_id, meta)
    values (room, lender, jsonb_build_object('source', 'mortgage', 'offer_id', offer.id))
    -- documents may have been laid there before: it is this lender's room all the same
    on conflict (id) do update set owner_id = excluded.owner_id;
  end if;

  return private.offer_json(offer);
end;
$$;

comment on function public.offer_mortgage is
  'Offers a mortgage for an application, which becomes offered, as the acting thinker. interest_rate is a fraction, '
  'monthly_payment in minor units (cents); loan to terms_ref are the lender''s own words. Without room_refs a room for the '
  'negotiation is made. Returns the offer. Refuses: not_signed_in (401); amount_out_of_range, interest_out_of_range (400); '
  'application_not_found (404); application_closed, offer_exists (409).';

grant execute on function public.offer_mortgage to authenticated;

create function public.list_mortgage_offers(role text default null, application_id text default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if list_mortgage_offers.role not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_offers.role is null and list_mortgage_offers.application_id is null then
    raise sqlstate 'PT400' using message = 'application_required';
  end if;

  return (
    select coalesce(jsonb_agg(private.offer_json(o) order by o.created_at, o.id), '[]')
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where (list_mortgage_offers.application_id is null or o.application_id = list_mortgage_offers.application_id)
      and case list_mortgage_offers.role
        when 'borrower' then a.borrower_id = auth.uid()
        when 'lender' then o.lender_id = auth.uid()
        else private.is_service() or auth.uid() in (a.borrower_id, o.lender_id)
      end
  );
end;
$$;

comment on function public.list_mortgage_offers is
  'As borrower: the offers for the actor''s applications. As lender: the actor''s own offers. Without a role: those for one '
  'application that the actor takes part in, all of them for a trusted server. Oldest first. '
  'Refuses: role_unknown, application_required (400).';

grant execute on function public.list_mortgage_offers to authenticated, service_role;

create function public.accept_mortgage_offer(offer_id text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
  offer       public.mortgage_offers;
  contract    public.mortgage_contracts;
begin
  -- the application first: two offers of one application are accepted one after the other
  select a.* into application
  from public.mortgage_applications a
  where a.id = (select o.application_id from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id)
  for no key update;

  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;

  if not found then
    raise sqlstate 'PT404' using message = 'offer_not_found';
  end if;
  if application.borrower_id <> borrower then
    raise sqlstate 'PT403' using message = 'not_the_offers_borrower';
  end if;
  if offer.status <> 'open' then
    raise sqlstate 'PT409' using message = 'offer_not_open', detail = offer.status;
  end if;

  update public.mortgage_offers o
  set status = case when o.id = offer.id then 'accepted' else 'withdrawn' end
  where o.application_id = application.id and o.status = 'open';
  update public.mortgage_applications a set status = 'accepted' where a.id = application.id;

  insert into public.mortgage_contracts (offer_id) values (offer.id) returning * into contract;
  insert into public.rooms (id, type, owner_id, meta)
  values (
    'mortgage:contract:' || contract.id, 'contract', borrower,
    jsonb_build_object('source', 'mortgage', 'mortgage_contract_id', contract.id)
  )
  on conflict (id) do update set owner_id = excluded.owner_id;

  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;
  return jsonb_build_object(
    'contract', private.mortgage_contract_json(contract),
    'offer', private.offer_json(offer)
  );
end;
$$;

comment on function public.accept_mortgage_offer is
  'Accepts an offer as its borrower: the application is accepted, its other offers are withdrawn, and a contract with its '
  'room is made. Returns {contract, offer}. Refuses: not_signed_in (401), not_the_offers_borrower (403), offer_not_found (404), '
  'offer_not_open (409, with the status as detail).';

grant execute on function public.accept_mortgage_offer to authenticated;

create function public.sign_mortgage_contract(contract_id text, signer text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  contract public.mortgage_contracts;
  borrower uuid;
  lender   uuid;
begin
  select * into contract
  from public.mortgage_contracts c
  where c.id = sign_mortgage_contract.contract_id
  for no key update;

  if not found then
    raise sqlstate 'PT404' using message = 'mortgage_contract_not_found';
  end if;

  select a.borrower_id, o.lender_id into borrower, lender
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = contract.offer_id;

  case sign_mortgage_contract.signer
    when 'borrower' then
      if auth.uid() is distinct from borrower then
        raise sqlstate 'PT403' using message = 'not_the_borrower';
      end if;
      contract.borrower_signed_at := coalesce(contract.borrower_signed_at, now());
    when 'lender' then
      if auth.uid() is distinct from lender then
        raise sqlstate 'PT403' using message = 'not_the_lender';
      end if;
      contract.lender_signed_at := coalesce(contract.lender_signed_at, now());
    when 'notary' then
      if not private.may_act_as('notary') then
        raise sqlstate 'PT403' using message = 'not_a_notary';
      end if;
      contract.notary_signed_at := coalesce(contract.notary_signed_at, now());
    else
      raise sqlstate 'PT400' using message = 'signer_unknown';
  end case;

  update public.mortgage_contracts c
  set borrower_signed_at = contract.borrower_signed_at,
      lender_signed_at = contract.lender_signed_at,
      notary_signed_at = contract.notary_signed_at,
      status = case
        when c.status = 'draft' and num_nulls(
          contract.borrower_signed_at, contract.lender_signed_at, contract.notary_signed_at
        ) = 0 then 'signed'
        else c.status
      end,
      updated_at = now()
  where c.id = contract.id
  returning * into contract;

  return private.mortgage_contract_json(contract);
end;
$$;

comment on function public.sign_mortgage_contract is
  'Signs a mortgage contract as its borrower, its lender or the notary (a thinker with that role, or a trusted server), in '
  'any order; signing again changes nothing. With all three the contract is signed. Returns the contract. '
  'Refuses: signer_unknown (400); not_the_borrower, not_the_lender, not_a_notary (403); mortgage_contract_not_found (404).';

grant execute on function public.sign_mortgage_contract to authenticated, service_role;
