-- Who may see and do what: row level security, roles, and the functions that check them.

grant usage on schema private to authenticated;

create or replace function private.may_act_as(role text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return private.is_service()
    or exists (select from public.thinkers t where t.id = auth.uid() and may_act_as.role = any (t.roles))
    -- app_metadata is what only a server can write into a user of Supabase Auth
    or coalesce(auth.jwt() -> 'app_metadata' ->> 'role' = may_act_as.role, false)
    or coalesce(auth.jwt() -> 'app_metadata' -> 'roles' @> to_jsonb(may_act_as.role), false);
end;
$$;

comment on function private.may_act_as is
  'True for a trusted server, for an actor with that role (lender, notary, admin), and for a JWT whose app_metadata names it '
  '(role, or one of roles).';

grant execute on function private.may_act_as to authenticated, service_role;

create function private.require_admin()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not private.may_act_as('admin') then
    raise sqlstate 'PT403' using message = 'not_an_admin';
  end if;
end;
$$;

comment on function private.require_admin is 'Lets trusted servers and admins pass. Refuses: not_an_admin (403).';

grant execute on function private.require_admin to authenticated, service_role;

create function private.my_room()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return (select s.room_id from public.presence_sessions s where s.thinker_id = auth.uid());
end;
$$;

comment on function private.my_room is 'The room in which the actor is present; null without one.';

grant execute on function private.my_room to authenticated;

create function private.my_rooms()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  -- in a room for a pair code is who is present, whoever made it
  return query
    select r.id from public.rooms r where r.owner_id = auth.uid() and r.meta ->> 'source' is distinct from 'presence';
  return query select room from private.my_room() as room where room is not null;
  return query select 'mortgage:offer:' || o.id from private.my_offers() as o (id);
  return query
    select 'mortgage:contract:' || c.id from public.mortgage_contracts c where c.offer_id in (select private.my_offers());
end;
$$;

comment on function private.my_rooms is
  'The rooms of the actor: its own, the one in which it is present, and those of the mortgages it is a party of.';

grant execute on function private.my_rooms to authenticated;

create function private.my_contacts()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  -- whoever acted towards the actor; to name somebody (as a voucher's holder, say) shows nothing of them
  return query select v.issuer_id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.issuer_id from public.vouchers v where v.issued_to = auth.uid();
  return query select b.issuer_id from public.voucher_bookings b where b.holder_id = auth.uid();
  return query select b.holder_id from public.voucher_bookings b where b.issuer_id = auth.uid();
  return query select s.thinker_id from public.presence_sessions s where s.room_id = private.my_room();
  return query
    select party.id
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id)
    where o.id in (select private.my_offers());
  if private.may_act_as('lender') then
    return query select a.borrower_id from public.mortgage_applications a where a.status in ('open', 'offered');
  end if;
  if private.may_act_as('notary') then
    return query
      select party.id
      from public.mortgage_contracts c
      join public.mortgage_offers o on o.id = c.offer_id
      join public.mortgage_applications a on a.id = o.application_id
      cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id);
  end if;
end;
$$;

comment on function private.my_contacts is
  'The thinkers that a shared voucher, room or mortgage shows to the actor; for lenders and notaries also those whom their work '
  'concerns. May repeat them.';

grant execute on function private.my_contacts to authenticated;

create function private.held_vouchers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select v.id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.id from public.vouchers v where v.issued_to = auth.uid();
  return query select b.voucher_id from public.voucher_bookings b where b.holder_id = auth.uid() and b.status = 'booked';
end;
$$;

comment on function private.held_vouchers is
  'The vouchers of which the actor is a holder: those issued to it, and those of which it has an appointment. May repeat them.';

grant execute on function private.held_vouchers to authenticated;

create function private.my_contract_links()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
    select l.id from public.contracts c join public.contract_links l on l.contract_id = c.id where c.created_by = auth.uid();
  return query
    select l.id from public.vouchers v join public.contract_links l on l.voucher_id = v.id where v.issuer_id = auth.uid();
  -- a voucher may have several holders, at once or one after the other: each sees what its issuer laid there before
  -- anybody had an appointment, or while nobody but this holder had one; never what another holder did
  return query
    select l.id
    from public.vouchers v
    join public.contract_links l on l.voucher_id = v.id
    join public.contracts c on c.id = l.contract_id
    cross join lateral (
      select
        min(b.created_at) as first_booked,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id = auth.uid()) as mine,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id <> auth.uid()) as others
      from public.voucher_bookings b
      where b.voucher_id = v.id
    ) appointments
    where v.id in (select private.held_vouchers())
      and c.created_by = v.issuer_id
      and (v.issued_to is null or v.issued_to = auth.uid())
      and (
        appointments.first_booked is null
        or appointments.first_booked > l.created_at
        or v.issued_to = auth.uid()
        or coalesce(appointments.mine @> l.created_at, false)
      )
      and not coalesce(appointments.others @> l.created_at, false);
  return query select l.id from public.contract_links l where l.room_id in (select private.my_rooms());
end;
$$;

comment on function private.my_contract_links is
  'The links of documents that the actor may see: those of its own documents, those to vouchers that it issued or holds and to '
  'its rooms. May repeat them.';

grant execute on function private.my_contract_links to authenticated;

create function private.my_contracts()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select c.id from public.contracts c where c.created_by = auth.uid();
  return query select l.contract_id from public.contract_links l where l.id in (select private.my_contract_links());
  return query
    select c.contract_id
    from public.mortgage_contracts c
    where c.contract_id is not null
      and (c.offer_id in (select private.my_offers()) or private.may_act_as('notary'));
end;
$$;

comment on function private.my_contracts is
  'The documents that the actor may see: those it stored, those of its links and mortgages, and for a notary those of every '
  'mortgage. May repeat them.';

grant execute on function private.my_contracts to authenticated;

create function private.my_offers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select o.id from public.mortgage_offers o where o.lender_id = auth.uid();
  return query
    select o.id
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where a.borrower_id = auth.uid();
end;
$$;

comment on function private.my_offers is
  'The offers of which the actor is a party: those it made as lender, and those for its own applications. May repeat them.';

grant execute on function private.my_offers to authenticated;

-- tables

comment on column public.thinkers.meta is 'Optional profile; contacts see it, like every column here.';

create index presence_sessions_room_id_idx on public.presence_sessions (room_id);

alter table public.vouchers add column issued_to uuid references public.thinkers (id) on delete restrict;
-- those with a booking cannot be told apart from open offers any more
update public.vouchers v
set issued_to = v.holder_id
where not exists (select from public.voucher_bookings b where b.voucher_id = v.id);
comment on column public.vouchers.issued_to is 'For whom alone the issuer meant it; null for an offer to everybody.';
create index vouchers_issued_to_idx on public.vouchers (issued_to, created_at);
create index vouchers_open_offers_idx
  on public.vouchers (valid_until) where status = 'issued' and holder_id is null and issued_to is null;

alter table public.properties add column created_by uuid references public.thinkers (id) on delete restrict;

comment on column public.properties.created_by is
  'The borrower who named it first; null for one that an operator entered, or that was named before this was noted.';

create index properties_created_by_idx on public.properties (created_by);

alter table public.fees add column beneficiary_id uuid references public.thinkers (id) on delete restrict;

comment on column public.fees.beneficiary_id is 'To whom what is charged is owed; null for the portal itself.';

create index fees_beneficiary_id_idx on public.fees (beneficiary_id);

alter table public.vouchers
  add constraint texts_have_at_most_1_mib check (octet_length(service_type || title || description) <= 1048576);
alter table public.voucher_bookings
  add constraint cancel_reason_has_at_most_1_mib check (octet_length(cancel_reason) <= 1048576);
alter table public.transfers add constraint texts_have_at_most_1_mib check (
  octet_length(network) <= 1048576 and octet_length(external_account) <= 1048576 and octet_length(label) <= 1048576
);

-- no statistics: estimates of row counts would tell the values of rows that one may not see. A change of type, even to the
-- same one, forgets those that there are; of a column in a trigger's definition it is possible without the trigger only.
drop trigger tg_presence_sessions__write_match on public.presence_sessions;
alter table public.thinkers
  alter column public_id type text, alter column public_id set statistics 0;
alter table public.rooms
  alter column id type text, alter column id set statistics 0;
alter table public.presence_sessions
  alter column pair_code type text, alter column pair_code set statistics 0,
  alter column room_id type text, alter column room_id set statistics 0;
alter table public.vouchers
  alter column id type text, alter column id set statistics 0,
  alter column service_type type text, alter column service_type set statistics 0,
  alter column title type text, alter column title set statistics 0,
  alter column description type text, alter column description set statistics 0;
alter table public.voucher_bookings
  alter column id type text, alter column id set statistics 0,
  alter column voucher_id type text, alter column voucher_id set statistics 0,
  alter column cancel_reason type text, alter column cancel_reason set statistics 0;
alter table public.contracts
  alter column name type text, alter column name set statistics 0,
  alter column mime_type type text, alter column mime_type set statistics 0,
  alter column storage_url type text, alter column storage_url set statistics 0,
  alter column hash_sha256 type text, alter column hash_sha256 set statistics 0;
alter table public.contract_links
  alter column voucher_id type text, alter column voucher_id set statistics 0,
  alter column room_id type text, alter column room_id set statistics 0;
alter table public.properties
  alter column id type text, alter column id set statistics 0,
  alter column address type text, alter column address set statistics 0;
alter table public.mortgage_applications
  alter column id type text, alter column id set statistics 0,
  alter column property_id type text, alter column property_id set statistics 0;
alter table public.mortgage_offers
  alter column id type text, alter column id set statistics 0,
  alter column application_id type text, alter column application_id set statistics 0;
alter table public.mortgage_contracts
  alter column id type text, alter column id set statistics 0,
  alter column offer_id type text, alter column offer_id set statistics 0;
alter table public.transfers
  alter column id type text, alter column id set statistics 0,
  alter column wallet_address type text, alter column wallet_address set statistics 0,
  alter column network type text, alter column network set statistics 0,
  alter column external_account type text, alter column external_account set statistics 0,
  alter column label type text, alter column label set statistics 0;
alter table public.events
  alter column subject_id type text, alter column subject_id set statistics 0;
alter table public.telemetry_events
  alter column id type text, alter column id set statistics 0,
  alter column type type text, alter column type set statistics 0,
  alter column path type text, alter column path set statistics 0;
alter table public.fee_events
  alter column subject_id type text, alter column subject_id set statistics 0;
create trigger tg_presence_sessions__write_match
  after update of room_id on public.presence_sessions
  for each row
  when (new.room_id is not null and new.room_id is distinct from old.room_id)
  execute function private.tg_presence_sessions__write_match();

grant select on public.thinkers to service_role, authenticated;
grant select on public.rooms to service_role, authenticated;
grant select on public.presence_sessions to authenticated;
grant select on public.vouchers to authenticated, anon;
grant select on public.voucher_bookings to authenticated;
grant select on public.voucher_templates to service_role, authenticated, anon;
grant select on public.contracts to authenticated;
grant select on public.contract_links to authenticated;
grant select on public.properties to service_role, authenticated;
grant select on public.mortgage_applications to service_role, authenticated;
grant select on public.mortgage_offers to service_role, authenticated;
grant select on public.mortgage_contracts to service_role, authenticated;
grant select on public.transfers to authenticated;
grant select on public.events to authenticated;
grant select on public.telemetry_events to service_role, authenticated;
grant select on public.fees to service_role, authenticated;
grant select on public.fee_events to service_role, authenticated;
grant select on public.settlements to service_role, authenticated;

-- policies

create policy "thinkers see themselves and whom they have to do with"
  on public.thinkers
  for select
  to authenticated
  using (
    id = (select auth.uid())
    or id in (select private.my_contacts())
    or (select private.may_act_as('admin'))
  );

create policy "thinkers see their own rooms and those they are in"
  on public.rooms
  for select
  to authenticated
  using (
    owner_id = (select auth.uid())
    or id in (select private.my_rooms())
    or (select private.may_act_as('admin'))
  );

create policy "thinkers see themselves and whoever is in the same room"
  on public.presence_sessions
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or room_id = (select private.my_room())
    or (select private.may_act_as('admin'))
  );

create policy "issuer and holders see a voucher, everybody an open offer"
  on public.vouchers
  for select
  to authenticated
  using (
    issuer_id = (select auth.uid())
    or id in (select private.held_vouchers())
    or (status = 'issued' and holder_id is null and issued_to is null and valid_until > now())
    or (select private.may_act_as('admin'))
  );

create policy "everybody sees an open offer"
  on public.vouchers
  for select
  to anon
  using (status = 'issued' and holder_id is null and issued_to is null and valid_until > now());

create policy "issuer and holder see their booking"
  on public.voucher_bookings
  for select
  to authenticated
  using (
    issuer_id = (select auth.uid())
    or holder_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "everybody sees the templates"
  on public.voucher_templates
  for select
  to anon, authenticated
  using (true);

create policy "creators and parties see their documents"
  on public.contracts
  for select
  to authenticated
  using (
    id in (select private.my_contracts())
    or (select private.may_act_as('admin'))
  );

create policy "creators and parties see the links of their documents"
  on public.contract_links
  for select
  to authenticated
  using (
    id in (select private.my_contract_links())
    or (select private.may_act_as('admin'))
  );

create policy "a property is seen by whoever sees an application for it"
  on public.properties
  for select
  to authenticated
  using (
    created_by = (select auth.uid())
    or exists (
      select from public.mortgage_applications a
      where a.property_id = properties.id
        -- nobody sees somebody else's house by applying for a mortgage on it
        and (a.borrower_id <> (select auth.uid()) or properties.created_by is null)
    )
    or (select private.may_act_as('admin'))
  );

create policy "borrowers, lenders and notaries see their applications"
  on public.mortgage_applications
  for select
  to authenticated
  using (
    borrower_id = (select auth.uid())
    or (status in ('open', 'offered') and (select private.may_act_as('lender')))
    -- of the offers, row level security shows a lender's own, and a notary those with a contract
    or id in (select o.application_id from public.mortgage_offers o)
    or (select private.may_act_as('admin'))
  );

create policy "parties see their offers, notaries those with a contract"
  on public.mortgage_offers
  for select
  to authenticated
  using (
    id in (select private.my_offers())
    or ((select private.may_act_as('notary')) and id in (select c.offer_id from public.mortgage_contracts c))
    or (select private.may_act_as('admin'))
  );

create policy "lender and borrower see their contracts, notaries all"
  on public.mortgage_contracts
  for select
  to authenticated
  using (
    offer_id in (select private.my_offers())
    or (select private.may_act_as('notary'))
    or (select private.may_act_as('admin'))
  );

create policy "thinkers see the transfers that they logged"
  on public.transfers
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "thinkers see what they did"
  on public.events
  for select
  to authenticated
  using (
    actor_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "thinkers see what was reported of them"
  on public.telemetry_events
  for select
  to authenticated
  using (
    actor_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "the signed-in see the prices"
  on public.fees
  for select
  to authenticated
  using (true);

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
    or fee_id in (select f.id from public.fees f where f.beneficiary_id = (select auth.uid()))
    or (select private.may_act_as('admin'))
  );

create policy "beneficiaries see their settlements"
  on public.settlements
  for select
  to authenticated
  using (
    beneficiary_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

-- what happened is kept as it was written

create function private.tg_append_only__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using
    message = 'append_only',
    detail = format('%s of %I: what happened is kept as it was written', lower(tg_op), tg_table_name);
end;
$$;

comment on function private.tg_append_only__refuse is
  'Refuses to change a table of what happened, whoever asks, its owner too: append_only (403).';

create trigger tg_events__refuse
before update or delete or truncate on public.events
for each statement execute function private.tg_append_only__refuse();

create trigger tg_fee_events__refuse
before update or delete or truncate on public.fee_events
for each statement execute function private.tg_append_only__refuse();

-- functions that check the caller, and the lists that show what it may see

create function private.is_open_to_caller(voucher public.vouchers)
returns boolean
language sql
stable
set search_path = ''
as $$
  select private.is_service()
    or coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id, voucher.issued_to), false)
    or voucher.issued_to is null and voucher.valid_until > now() and case voucher.status
      when 'issued' then voucher.holder_id is null
      -- other slots of it may be free: they are for whoever is signed in and knows its id
      when 'booked' then auth.uid() is not null
      else false
    end
$$;

comment on function private.is_open_to_caller is
  'True when the caller may look at the slots of a voucher and book one: a trusted server, its issuer, its holder, for whom it '
  'was issued; of an open offer everybody, of one that is booked whoever is signed in and knows its id.';

create or replace function private.voucher_json(voucher public.vouchers)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  -- of a voucher with several holders, one learns nothing of another
  if voucher.holder_id is not null
    and not coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id), false)
    and not private.may_act_as('admin') then
    voucher.holder_id := null;
  end if;

  return to_jsonb(voucher) || jsonb_build_object(
    'issuer_uid', private.uid_of(voucher.issuer_id),
    'holder_uid', private.uid_of(voucher.holder_id)
  );
end;
$$;

comment on function private.voucher_json is
  'A voucher as the functions return it: its columns, and the uids of issuer and holder; the holder to the parties, trusted '
  'servers and admins only.';

create or replace function public.issue_voucher(
  voucher_id       text        default null,
  service_type     text        default null,
  title            text        default null,
  description      text        default null,
  duration_minutes integer     default null,
  valid_from       timestamptz default null,
  valid_until      timestamptz default null,
  allowed_slots    jsonb       default null,
  price_amount     bigint      default null,
  price_currency   text        default null,
  status           text        default null,
  holder_uid       text        default null,
  transferable     boolean     default null,
  terms            jsonb       default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  issuer  uuid;
  holder  uuid := private.thinker_id(issue_voucher.holder_uid);
  voucher public.vouchers;
begin
  -- new thinkers are made in the order of their ids, so that two of these wait for each other and never in a circle
  if holder < auth.uid() then
    perform private.thinker_of(issue_voucher.holder_uid);
  end if;
  issuer := private.acting_thinker();
  perform private.thinker_of(issue_voucher.holder_uid);

  voucher := row(
    coalesce(issue_voucher.voucher_id, private.new_id('v')),
    issuer,
    holder,
    coalesce(issue_voucher.service_type, 'generic.service'),
    coalesce(issue_voucher.title, 'Unbenannter Service'),
    coalesce(issue_voucher.description, ''),
    coalesce(issue_voucher.duration_minutes, 60),
    date_trunc('milliseconds', coalesce(issue_voucher.valid_from, now())),
    date_trunc('milliseconds', coalesce(issue_voucher.valid_until, greatest(issue_voucher.valid_from, now()))),
    issue_voucher.price_amount,
    case when issue_voucher.price_amount is not null then upper(coalesce(issue_voucher.price_currency, 'EUR')) end,
    lower(coalesce(issue_voucher.status, 'issued')),
    coalesce(issue_voucher.transferable, false),
    coalesce(issue_voucher.terms, '{}'),
    now(),
    coalesce(issue_voucher.allowed_slots, '[]'),
    holder
  );

  if voucher.duration_minutes not between 1 and 525600 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if not private.in_calendar(voucher.valid_from, voucher.valid_until) then
    raise sqlstate 'PT400' using message = 'date_out_of_range';
  end if;
  if voucher.valid_until < voucher.valid_from then
    raise sqlstate 'PT400' using message = 'valid_until_before_valid_from';
  end if;
  if voucher.price_amount not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if voucher.status not in ('issued', 'booked', 'consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT400' using message = 'voucher_status_unknown';
  end if;

  insert into public.vouchers values (voucher.*) on conflict (id) do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'voucher_exists';
  end if;

  return private.voucher_json(voucher);
end;
$$;

comment on function public.issue_voucher is
  'Issues a voucher of the acting thinker. What is left out (null) gets the default of the legacy API: an hour of '
  '"Unbenannter Service", valid from now until now. price_amount is in minor units (cents), times keep milliseconds. '
  'Returns the voucher. Refuses: not_signed_in (401); duration_out_of_range, date_out_of_range, '
  'valid_until_before_valid_from, amount_out_of_range, voucher_status_unknown, uid_invalid (400); voucher_exists (409).';

create or replace function public.available_slots(
  voucher_id text,
  slots_from timestamptz default null,
  slots_to   timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  voucher     public.vouchers;
  first_start timestamptz;
  last_start  timestamptz;
  slots       jsonb;
begin
  select * into voucher from public.vouchers v where v.id = available_slots.voucher_id;
  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;

  first_start := least(greatest(voucher.valid_from, available_slots.slots_from), voucher.valid_until);
  -- a year at most, whatever was asked for: an answer holds no more than 8,784 slots
  last_start := least(available_slots.slots_to, first_start + interval '1 year' - interval '1 millisecond');

  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'voucher_id', voucher.id,
        'slot_start', slot,
        'slot_end', slot + make_interval(mins => voucher.duration_minutes)
      )
      order by slot
    ),
    '[]'
  )
  into slots
  from private.slots_of(voucher, first_start, last_start) as slot
  where not exists (
    select from public.voucher_bookings b
    where b.voucher_id = voucher.id
      and b.status = 'booked'
      and tstzrange(b.slot_start, b.slot_end)
        && tstzrange(slot, slot + make_interval(mins => voucher.duration_minutes))
  );

  return slots;
end;
$$;

comment on function public.available_slots is
  'The free slots of a voucher, earliest first: [{voucher_id, slot_start, slot_end}]. A slot that overlaps an active '
  'booking is left out. Lists slots that start from slots_from to slots_to (both included), one year at most; '
  'without them the first year of the voucher''s window. Refuses: voucher_not_found (404), also for one that is not open to the caller.';

create or replace function public.book_voucher(voucher_id text, slot_start timestamptz)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  holder  uuid := private.acting_thinker();
  voucher public.vouchers;
  booking public.voucher_bookings;
  offered boolean := false;
begin
  select * into voucher
  from public.vouchers v
  where v.id = book_voucher.voucher_id
  for no key update;

  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if voucher.status in ('consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT409' using message = 'voucher_not_bookable', detail = voucher.status;
  end if;
  if book_voucher.slot_start between voucher.valid_from and voucher.valid_until then
    offered := exists (select from private.slots_of(voucher, book_voucher.slot_start, book_voucher.slot_start));
  end if;
  if not offered then
    raise sqlstate 'PT409' using message = 'slot_not_offered';
  end if;

  insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
  values (
    voucher.id, voucher.issuer_id, holder, book_voucher.slot_start,
    book_voucher.slot_start + make_interval(mins => voucher.duration_minutes)
  )
  returning * into booking;

  update public.vouchers v
  set status = 'booked', holder_id = holder
  where v.id = voucher.id
  returning * into voucher;

  return jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher));
exception
  when exclusion_violation then
    raise sqlstate 'PT409' using message = 'slot_taken';
end;
$$;

comment on function public.book_voucher is
  'Books a slot of a voucher for the acting thinker. No start (null) is a slot that is not offered. '
  'Returns {booking, voucher}. Refuses: not_signed_in (401); voucher_not_found (404), also for one that is not open to the '
  'caller; voucher_not_bookable (with the status as detail), slot_not_offered, slot_taken (409).';

create or replace function public.cancel_booking(
  booking_id text default null,
  voucher_id text default null,
  reason     text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  voucher public.vouchers;
  booking public.voucher_bookings;
  holder  uuid;
begin
  if cancel_booking.booking_id is null and cancel_booking.voucher_id is null then
    raise sqlstate 'PT400' using message = 'booking_or_voucher_required';
  end if;

  -- the voucher first, as book_voucher does: who waits here sees what the other one left
  select * into voucher
  from public.vouchers v
  where v.id = case
    when cancel_booking.booking_id is null then cancel_booking.voucher_id
    else (select b.voucher_id from public.voucher_bookings b where b.id = cancel_booking.booking_id)
  end
  for no key update;

  select * into booking
  from public.voucher_bookings b
  where b.voucher_id = voucher.id
    and case
      when cancel_booking.booking_id is not null then b.id = cancel_booking.booking_id
      -- of a voucher with several bookings, one that the caller may cancel
      else b.status = 'booked' and (private.is_service() or auth.uid() in (b.holder_id, b.issuer_id))
    end
  order by b.created_at, b.id
  limit 1;

  if not found then
    raise sqlstate 'PT404' using message = 'booking_not_found';
  end if;
  if not (private.is_service() or coalesce(auth.uid() in (booking.holder_id, booking.issuer_id), false)) then
    raise sqlstate 'PT403' using message = 'not_a_party';
  end if;

  if booking.status = 'booked' then
    update public.voucher_bookings b
    set status = 'cancelled', cancel_reason = cancel_booking.reason, cancelled_at = clock_timestamp()
    where b.id = booking.id
    returning * into booking;

    select b.holder_id into holder
    from public.voucher_bookings b
    where b.voucher_id = voucher.id and b.status = 'booked'
    order by b.created_at desc, b.id desc
    limit 1;

    update public.vouchers v
    set status = case when holder is null then 'issued' else 'booked' end, holder_id = holder
    where v.id = voucher.id and v.status = 'booked';
    select * into voucher from public.vouchers v where v.id = voucher.id;
  end if;

  return jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher));
end;
$$;

comment on function public.cancel_booking is
  'Cancels a booking, named by its id or as the caller''s oldest active one of a voucher; for its holder, its issuer or a trusted '
  'server. The voucher is offered again, unless another booking of it is active. A booking that is cancelled already '
  'stays as it was. Returns {booking, voucher}. Refuses: booking_or_voucher_required (400), not_a_party (403), '
  'booking_not_found (404).';

create or replace function public.apply_for_mortgage(
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

  insert into public.properties (id, created_by)
  select apply_for_mortgage.property_id, borrower
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

create or replace function public.offer_mortgage(
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
  if not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'lender_role_required';
  end if;

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
  'Offers a mortgage for an application, which becomes offered, as the acting thinker, who must have the role lender, or for '
  'whom a trusted server speaks. interest_rate is a fraction, '
  'monthly_payment in minor units (cents); loan to terms_ref are the lender''s own words. Without room_refs a room for the '
  'negotiation is made. Returns the offer. Refuses: not_signed_in (401); lender_role_required (403); amount_out_of_range, interest_out_of_range (400); '
  'application_not_found (404); application_closed, offer_exists (409).';

create or replace function public.list_presence()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(
    jsonb_agg(to_jsonb(s) || jsonb_build_object('thinker_uid', private.uid_of(s.thinker_id)) order by s.created_at, s.id),
    '[]'
  )
  from public.presence_sessions s
$$;

comment on function public.list_presence is
  'All presence sessions, oldest first, for the operator (GET /api/presence/debug). Refuses: not_an_admin (403).';

create or replace function private.tg_voucher_bookings__write_cancel()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.cancel',
    coalesce((select t.id from public.thinkers t where t.id = auth.uid()), new.holder_id),
    'voucher_booking',
    new.id,
    jsonb_build_object('voucherId', new.voucher_id, 'reason', new.cancel_reason)
  );
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_cancel is
  'Writes the event voucher.cancel: of whoever cancelled, or of the holder where a trusted server spoke for nobody.';

create or replace function public.list_events(max_rows integer default 50)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  select coalesce(jsonb_agg(private.event_json(e) order by e.created_at desc, e.id desc), '[]')
  from (
    select *
    from public.events
    order by created_at desc, id desc
    limit least(greatest(list_events.max_rows, 1), 200)
  ) e
$$;

comment on function public.list_events is
  'The latest events, newest first: max_rows of them, from 1 to 200. Refuses: not_an_admin (403).';

create or replace function public.dashboard()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  with recent as (
    select
      e.created_at,
      coalesce(e.subject_type, 'unknown') as feature,
      e.type,
      e.type ~* 'error|fail'
        or (e.type = 'voucher.cancel' and coalesce(e.meta ->> 'reason', '') ~* 'error') as is_error,
      e.type ~* 'fix|resolve' as is_fix,
      e.type ~* 'critical|crash' as is_crash
    from public.events e
    where e.created_at > now() - interval '30 days'
  ),
  figures as (
    select
      count(*) as total,
      count(*) filter (where is_error) as errors,
      count(*) filter (where is_fix) as fixes,
      count(*) filter (where is_fix and created_at > now() - interval '7 days') as fixes_of_week,
      count(*) filter (where created_at > now() - interval '24 hours') as active,
      coalesce(100.0 * count(*) filter (where is_error) / nullif(count(*), 0), 0) as error_rate,
      coalesce(100.0 * count(*) filter (where is_crash) / nullif(count(*), 0), 0) as crash_rate
    from recent
  )
  select jsonb_build_object(
    'production_readiness', round(
      0.3 * least(100, active) + 0.4 * (100 - error_rate) + 0.3 * greatest(0, 100 - 2 * error_rate), 1
    ),
    'quality_score', round(100 - error_rate, 1),
    'system_stability', round(100 - crash_rate, 1),
    'activity_count', active,
    'production_timeline', (
      select jsonb_agg(
        jsonb_build_object(
          'date', to_char(day, 'YYYY-MM-DD'),
          'count', (select count(*) from recent r where (r.created_at at time zone 'UTC')::date = day::date)
        )
        order by day
      )
      from generate_series(
        (now() at time zone 'UTC')::date - 6, (now() at time zone 'UTC')::date, interval '1 day'
      ) as day
    ),
    'error_rate', round(error_rate, 2),
    'error_count', errors,
    'event_count', total,
    'top_errors', (
      select coalesce(jsonb_agg(jsonb_build_object('type', t.type, 'count', t.count) order by t.count desc, t.type), '[]')
      from (
        select r.type, count(*) from recent r where r.is_error group by r.type order by 2 desc, 1 limit 10
      ) t
    ),
    'fix_rate', round(coalesce(100.0 * fixes / nullif(errors, 0), 0), 2),
    'fixes_per_week', fixes_of_week,
    'open_errors', greatest(0, errors - fixes),
    'features', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('name', f.feature, 'events', f.events, 'error_rate', round(f.error_rate, 2))
          order by f.events desc, f.feature
        ),
        '[]'
      )
      from (
        select r.feature, count(*) as events, 100.0 * count(*) filter (where r.is_error) / count(*) as error_rate
        from recent r
        group by r.feature
      ) f
    ),
    'recent_events', public.list_events(20)
  )
  from figures
$$;

comment on function public.dashboard is
  'The figures of GET /api/admin/dashboard (contract, section 7) over the events of the last 30 days; rates in percent, days in UTC. '
  'Refuses: not_an_admin (403).';

create or replace function public.error_summary()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.require_admin();

  with errors as (
    select e as event, reported.type, e.created_at, e.id
    from public.events e
    -- what a page reports is a telemetry.event, whatever its type
    cross join lateral (
      select case e.type when 'telemetry.event' then coalesce(e.meta ->> 'type', '') else e.type end as type
    ) reported
    where reported.type ~* 'error|fail' and e.created_at > now() - interval '30 days'
  )
  select jsonb_build_object(
    'total', (select count(*) from errors),
    'by_type', (
      select coalesce(jsonb_object_agg(t.type, t.count), '{}')
      from (select type, count(*) from errors group by type) t
    ),
    'recent', (
      select coalesce(jsonb_agg(private.event_json(e.event) order by e.created_at desc, e.id desc), '[]')
      from (select * from errors order by created_at desc, id desc limit 20) e
    )
  )
$$;

comment on function public.error_summary is
  'The errors among the events of the last 30 days: {total, by_type, recent (the 20 newest)}, for GET /api/autofix/status. '
  'Refuses: not_an_admin (403).';

create function public.check_contract_link(voucher_id text default null, room_id text default null)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.is_service() then
    return true;
  end if;
  if check_contract_link.voucher_id is not null and not exists (
    select from public.vouchers v where v.id = check_contract_link.voucher_id and v.issuer_id = auth.uid()
  ) and check_contract_link.voucher_id not in (select private.held_vouchers()) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if check_contract_link.room_id is not null and check_contract_link.room_id not in (select private.my_rooms()) and (
    -- a new room is the actor's own; but the rooms of mortgages are named after them, and not for others to make
    check_contract_link.room_id like 'mortgage:%'
    or exists (select from public.rooms r where r.id = check_contract_link.room_id)
  ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
  return true;
end;
$$;

comment on function public.check_contract_link is
  'Asked before a document is recorded: true when the caller may link one to this voucher and room. A thinker must be the '
  'voucher''s issuer or a holder, and in the room, if it exists; a room named mortgage:... must be one of its '
  'mortgages'' rooms. A trusted server may link anything. '
  'Refuses: voucher_not_found (404), not_your_room (403).';

grant execute on function public.check_contract_link to authenticated, service_role;

grant execute on function public.book_voucher to service_role;
grant execute on function public.offer_mortgage to service_role;
grant execute on function public.list_presence to authenticated;
grant execute on function public.list_vouchers to authenticated;
grant execute on function public.list_bookings to authenticated;
grant execute on function public.list_contracts to authenticated;
grant execute on function public.list_transfers to authenticated;
grant execute on function public.get_transfer to authenticated;
grant execute on function public.list_events to authenticated;
grant execute on function public.dashboard to authenticated;
grant execute on function public.error_summary to authenticated;
grant execute on function private.thinker_id to authenticated;
grant execute on function private.uid_of to authenticated;
grant execute on function private.voucher_json to authenticated;
grant execute on function private.booking_json to authenticated;
grant execute on function private.contract_json to authenticated;
grant execute on function private.currency_exponent to authenticated;
grant execute on function private.transfer_json to authenticated;
grant execute on function private.event_json to authenticated;

-- users of Supabase Auth

create function private.tg_users__make_thinker()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.thinkers (id, public_id)
  select new.id, new.id::text
  -- an imported user whose id is no UUID of version 4 cannot be a thinker, but may sign up all the same
  where private.thinker_id(new.id::text) = new.id
  on conflict do nothing;
  return null;
end;
$$;

comment on function private.tg_users__make_thinker is 'A new user of Supabase Auth is a thinker with the same id.';

-- a plain PostgreSQL has no users
do $$
begin
  if to_regclass('auth.users') is not null then
    create trigger tg_users__make_thinker
    after insert on auth.users
    for each row execute function private.tg_users__make_thinker();
  end if;
end;
$$;

-- rate limits

create unlogged table private.request_counts (
  client         text        primary key,
  requests       integer     not null,
  window_ends_at timestamptz not null
);

comment on table private.request_counts is
  'How often a client asked in its current minute, for the rate limits of /api. Not kept over a crash. Written by count_request.';
comment on column private.request_counts.client is 'The limited route and the client''s address.';

create index request_counts_window_ends_at_idx on private.request_counts (window_ends_at);

alter table private.request_counts enable row level security;

create function public.count_request(client text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  moment  timestamptz := clock_timestamp();
  counted private.request_counts;
begin
  insert into private.request_counts as c (client, requests, window_ends_at)
  values (left(count_request.client, 255), 1, moment + interval '60 seconds')
  on conflict on constraint request_counts_pkey do update
  set requests = case when c.window_ends_at > moment then c.requests + 1 else 1 end,
      window_ends_at = case when c.window_ends_at > moment then c.window_ends_at else excluded.window_ends_at end
  returning * into counted;

  -- whoever opens a window clears away some that are over: the table stays as small as there are clients
  if counted.requests = 1 then
    delete from private.request_counts c
    where c.client in (
      select o.client
      from private.request_counts o
      where o.window_ends_at < moment
      order by o.window_ends_at
      limit 10
      for update skip locked
    );
  end if;

  return jsonb_build_object(
    'requests', counted.requests,
    'seconds_left', ceil(extract(epoch from counted.window_ends_at - moment))::int
  );
end;
$$;

comment on function public.count_request is
  'Counts a request of a client (a route and an address) in its window of 60 seconds, which the first request opens; exactly, '
  'however many servers count. Returns {requests, seconds_left}.';

grant execute on function public.count_request to service_role;
