-- The same request twice with one idempotency key has one effect and one answer.

create table private.idempotency_keys (
  actor       text        not null,
  key         text        not null,
  fingerprint bytea       not null,
  answer      jsonb       not null,
  created_at  timestamptz not null default now(),

  primary key (actor, key),
  constraint key_has_1_to_255_characters check (char_length(key) between 1 and 255),
  constraint fingerprint_is_a_sha256 check (octet_length(fingerprint) = 32)
);

comment on table private.idempotency_keys is
  'What was answered to a request that carried an idempotency key, written in the transaction of its effect and good for 24 '
  'hours. Written by keep_answer, read by first_answer.';
comment on column private.idempotency_keys.actor is
  'Whose key it is: the id of the thinker who acts, or the role of who acts for nobody in particular.';
comment on column private.idempotency_keys.fingerprint is 'SHA-256 of the function and its arguments.';

create index idempotency_keys_created_at_idx on private.idempotency_keys (created_at);

alter table private.idempotency_keys enable row level security;

create function private.key_owner()
returns text
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.uid()::text, auth.role(), session_user)
$$;

comment on function private.key_owner is
  'Whose an idempotency key is: the id of the thinker who acts, or the role of who acts for nobody in particular.';

create function private.first_answer(key text, request jsonb)
returns jsonb
language plpgsql
strict -- without a key there is nothing to look up
set search_path = ''
as $$
declare
  whose text := private.key_owner();
  kept  private.idempotency_keys;
begin
  if char_length(first_answer.key) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'idempotency_key_invalid';
  end if;

  -- held until the end of the transaction that has the effect: whoever gets it next sees what was kept
  if not pg_try_advisory_xact_lock(hashtextextended('idempotency_key:' || whose || ':' || first_answer.key, 0)) then
    raise sqlstate 'PT409' using message = 'request_in_progress';
  end if;

  select * into kept
  from private.idempotency_keys k
  where k.actor = whose
    and k.key = first_answer.key
    and k.created_at > now() - interval '24 hours';

  if kept.fingerprint <> sha256(convert_to(first_answer.request::text, 'UTF8')) then
    raise sqlstate 'PT422' using message = 'idempotency_key_reused';
  end if;
  return kept.answer;
end;
$$;

comment on function private.first_answer is
  'What the actor''s first request with this idempotency key was answered, within 24 hours; null where this is the first, or '
  'has no key. request is the function and its arguments, as they are the same each time it is sent. A refused request '
  'keeps nothing. Refuses: idempotency_key_invalid (400: 1 to 255 characters); request_in_progress (409); '
  'idempotency_key_reused (422), for another request.';

create function private.keep_answer(key text, request jsonb, answer jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if keep_answer.key is not null then
    insert into private.idempotency_keys as k (actor, key, fingerprint, answer)
    values (
      private.key_owner(),
      keep_answer.key,
      sha256(convert_to(keep_answer.request::text, 'UTF8')),
      keep_answer.answer
    )
    -- one of more than 24 hours ago, or first_answer would have found it
    on conflict on constraint idempotency_keys_pkey do update
    set fingerprint = excluded.fingerprint, answer = excluded.answer, created_at = excluded.created_at;
  end if;
  return keep_answer.answer;
end;
$$;

comment on function private.keep_answer is
  'Keeps the answer to a request that carries an idempotency key, for first_answer; returns it.';

drop function public.verify_presence();

create function public.verify_presence(idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('verify_presence');
  answer  jsonb := private.first_answer(verify_presence.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  if answer is not null then
    return answer;
  end if;

  update public.thinkers t set verified_at = now() where t.id = thinker;

  insert into public.presence_sessions (thinker_id) values (thinker) on conflict (thinker_id) do nothing;

  select * into session from public.presence_sessions s where s.thinker_id = thinker;

  return private.keep_answer(
    verify_presence.idempotency_key,
    request,
    jsonb_build_object('thinker_uid', private.uid_of(thinker), 'pair_code', session.pair_code)
  );
end;
$$;

comment on function public.verify_presence is
  'Notes that the acting thinker proved its token; the first time it also comes online. A later call changes neither '
  'its status nor when it was last seen. Returns {thinker_uid, pair_code}. Refuses: not_signed_in (401). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.verify_presence to authenticated;

drop function public.send_heartbeat(text, text);

create function public.send_heartbeat(
  pair_code       text default null,
  status          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('send_heartbeat', send_heartbeat.pair_code, send_heartbeat.status);
  answer  jsonb := private.first_answer(send_heartbeat.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  session public.presence_sessions;
begin
  if answer is not null then
    return answer;
  end if;

  if char_length(send_heartbeat.pair_code) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'pair_code_invalid';
  end if;

  insert into public.presence_sessions as s (thinker_id, pair_code, status)
  values (
    thinker,
    send_heartbeat.pair_code,
    case when coalesce(send_heartbeat.status, 'online') = 'online' then 'online' else 'offline' end
  )
  on conflict (thinker_id) do update
  set pair_code = coalesce(excluded.pair_code, s.pair_code),
      status = case
        when send_heartbeat.status is not null then excluded.status
        when s.silenced then 'online'
        else s.status
      end,
      silenced = false,
      room_id = case when excluded.pair_code <> s.pair_code then null else s.room_id end,
      last_seen_at = now()
  returning * into session;

  return private.keep_answer(send_heartbeat.idempotency_key, request, to_jsonb(session));
end;
$$;

comment on function public.send_heartbeat is
  'Says that the acting thinker is there. What is left out (null) keeps its value, but whom a job silenced is online again. Any status but online counts as offline: '
  'such a thinker is not matched. Returns the session. Refuses: not_signed_in (401), pair_code_invalid (400). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.send_heartbeat to authenticated;

drop function public.match_presence(text);

create function public.match_presence(pair_code text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('match_presence', match_presence.pair_code);
  answer  jsonb := private.first_answer(match_presence.idempotency_key, request);
  thinker uuid := private.acting_thinker();
  present uuid[];
  room    text;
begin
  if answer is not null then
    return answer;
  end if;

  -- thinkers who match at the same time, whoever comes first, find the room that the first one made
  perform pg_advisory_xact_lock(hashtextextended('match_presence:' || match_presence.pair_code, 0));

  select array_agg(s.thinker_id), (array_agg(s.room_id order by s.created_at) filter (where s.room_id is not null))[1]
  into present, room
  from public.presence_sessions s
  where s.pair_code = match_presence.pair_code
    and s.status = 'online'
    and s.last_seen_at >= now() - interval '60 seconds';

  if thinker = any (present) and cardinality(present) >= 2 then
    if room is null then
      room := 'room-' || match_presence.pair_code || '-' || private.new_suffix();
      insert into public.rooms (id, type, owner_id, meta)
      values (room, 'mixed', thinker, jsonb_build_object('source', 'presence', 'pair_code', match_presence.pair_code));
    end if;
    update public.presence_sessions s
    set room_id = room
    where s.thinker_id = any (present)
      and s.pair_code = match_presence.pair_code
      and s.room_id is distinct from room;
  else
    room := null;
  end if;

  return private.keep_answer(match_presence.idempotency_key, request, jsonb_build_object('room_id', room));
end;
$$;

comment on function public.match_presence is
  'Finds the room of the acting thinker and whoever else is online with the same pair code and was seen in the last 60 seconds; '
  'makes it when it is missing. Returns {room_id}, null when the caller is not online with that code or is alone. '
  'Refuses: not_signed_in (401). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.match_presence to authenticated;

drop function public.issue_voucher(
  text, text, text, text, integer, timestamptz, timestamptz, jsonb, bigint, text, text, text, boolean, jsonb
);

create function public.issue_voucher(
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
  terms            jsonb       default null,
  idempotency_key  text        default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array(
    'issue_voucher', issue_voucher.voucher_id, issue_voucher.service_type, issue_voucher.title, issue_voucher.description,
    issue_voucher.duration_minutes, issue_voucher.valid_from at time zone 'UTC',
    issue_voucher.valid_until at time zone 'UTC', issue_voucher.allowed_slots, issue_voucher.price_amount,
    issue_voucher.price_currency, issue_voucher.status, issue_voucher.holder_uid, issue_voucher.transferable,
    issue_voucher.terms
  );
  answer  jsonb := private.first_answer(issue_voucher.idempotency_key, request);
  issuer  uuid;
  holder  uuid := private.thinker_id(issue_voucher.holder_uid);
  voucher public.vouchers;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(issue_voucher.idempotency_key, request, private.voucher_json(voucher));
end;
$$;

comment on function public.issue_voucher is
  'Issues a voucher of the acting thinker. What is left out (null) gets the default of the legacy API: an hour of '
  '"Unbenannter Service", valid from now until now. price_amount is in minor units (cents), times keep milliseconds. '
  'Returns the voucher. Refuses: not_signed_in (401); duration_out_of_range, date_out_of_range, '
  'valid_until_before_valid_from, amount_out_of_range, voucher_status_unknown, uid_invalid (400); voucher_exists (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.issue_voucher to authenticated;

drop function public.book_voucher(text, timestamptz);

create function public.book_voucher(voucher_id text, slot_start timestamptz, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('book_voucher', book_voucher.voucher_id, book_voucher.slot_start at time zone 'UTC');
  answer  jsonb := private.first_answer(book_voucher.idempotency_key, request);
  holder  uuid := private.acting_thinker();
  voucher public.vouchers;
  booking public.voucher_bookings;
  offered boolean := false;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(
    book_voucher.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
exception
  when exclusion_violation then
    raise sqlstate 'PT409' using message = 'slot_taken';
end;
$$;

comment on function public.book_voucher is
  'Books a slot of a voucher for the acting thinker. No start (null) is a slot that is not offered. '
  'Returns {booking, voucher}. Refuses: not_signed_in (401); voucher_not_found (404), also for one that is not open to the '
  'caller; voucher_not_bookable (with the status as detail), slot_not_offered, slot_taken (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.book_voucher to authenticated, service_role;

drop function public.cancel_booking(text, text, text);

create function public.cancel_booking(
  booking_id      text default null,
  voucher_id      text default null,
  reason          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array(
    'cancel_booking', cancel_booking.booking_id, cancel_booking.voucher_id, cancel_booking.reason
  );
  answer  jsonb := private.first_answer(cancel_booking.idempotency_key, request);
  voucher public.vouchers;
  booking public.voucher_bookings;
  holder  uuid;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(
    cancel_booking.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
end;
$$;

comment on function public.cancel_booking is
  'Cancels a booking, named by its id or as the caller''s oldest active one of a voucher; for its holder, its issuer or a trusted '
  'server. The voucher is offered again, unless another booking of it is active. A booking that is cancelled already '
  'stays as it was. Returns {booking, voucher}. Refuses: booking_or_voucher_required (400), not_a_party (403), '
  'booking_not_found (404). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.cancel_booking to authenticated, service_role;

drop function public.record_contract(uuid, text, text, bigint, text, text, text, text);

create function public.record_contract(
  contract_id     uuid,
  name            text,
  mime_type       text,
  byte_size       bigint,
  storage_url     text,
  hash_sha256     text,
  voucher_id      text   default null,
  room_id         text   default null,
  idempotency_key text   default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request  jsonb := jsonb_build_array(
    'record_contract', record_contract.name, record_contract.mime_type, record_contract.byte_size,
    record_contract.hash_sha256, record_contract.voucher_id, record_contract.room_id
  );
  answer   jsonb := private.first_answer(record_contract.idempotency_key, request);
  creator  uuid;
  contract jsonb;
  link_id  uuid;
begin
  if answer is not null then
    return answer;
  end if;

  if auth.uid() is not null then
    creator := private.acting_thinker();
  end if;

  if record_contract.voucher_id is not null then
    perform from public.vouchers v where v.id = record_contract.voucher_id for key share;
    if not found then
      raise sqlstate 'PT404' using message = 'voucher_not_found';
    end if;
  end if;
  if record_contract.room_id is not null then
    insert into public.rooms (id, type, owner_id, meta)
    values (record_contract.room_id, 'contract', creator, '{"source": "contract"}')
    on conflict (id) do nothing;
  end if;

  -- one statement, at whose end the trigger that writes the event sees the link too
  with new_contract as (
    insert into public.contracts (id, name, mime_type, byte_size, storage_url, hash_sha256, created_by)
    values (
      record_contract.contract_id, record_contract.name, record_contract.mime_type, record_contract.byte_size,
      record_contract.storage_url, record_contract.hash_sha256, creator
    )
    returning *
  ),
  new_link as (
    insert into public.contract_links (contract_id, voucher_id, room_id)
    select c.id, record_contract.voucher_id, record_contract.room_id
    from new_contract c
    where num_nonnulls(record_contract.voucher_id, record_contract.room_id) > 0
    returning id
  )
  select private.contract_json(c::public.contracts), (select l.id from new_link l)
  into contract, link_id
  from new_contract c;

  return private.keep_answer(
    record_contract.idempotency_key,
    request,
    jsonb_build_object('contract', contract, 'link_id', link_id)
  );
end;
$$;

comment on function public.record_contract is
  'Records a document whose bytes a trusted server has stored, and links it to a voucher, a room or both. A room that does '
  'not exist is made (type contract, owned by the actor). Returns {contract, link_id}. Refuses: voucher_not_found (404). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer. contract_id and storage_url, new with each upload, may differ.';

grant execute on function public.record_contract to service_role;

drop function public.apply_for_mortgage(text, text, bigint, text, integer, text, numeric, text, text, jsonb);

create function public.apply_for_mortgage(
  application_id  text    default null,
  property_id     text    default null,
  desired_loan    bigint  default null,
  currency        text    default null,
  duration_years  integer default null,
  rate_type       text    default null,
  max_interest    numeric default null,
  status          text    default null,
  visibility      text    default null,
  meta            jsonb   default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request     jsonb := jsonb_build_array(
    'apply_for_mortgage', apply_for_mortgage.application_id, apply_for_mortgage.property_id,
    apply_for_mortgage.desired_loan, apply_for_mortgage.currency, apply_for_mortgage.duration_years,
    apply_for_mortgage.rate_type, apply_for_mortgage.max_interest, apply_for_mortgage.status,
    apply_for_mortgage.visibility, apply_for_mortgage.meta
  );
  answer      jsonb := private.first_answer(apply_for_mortgage.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(apply_for_mortgage.idempotency_key, request, private.application_json(application));
end;
$$;

comment on function public.apply_for_mortgage is
  'Hands in the acting thinker''s application for a mortgage; an unknown property is noted. desired_loan is in minor units '
  '(cents), max_interest a fraction. Returns the application. Refuses: not_signed_in (401); amount_out_of_range, '
  'duration_out_of_range, rate_type_unknown, application_status_unknown, interest_out_of_range (400); application_exists (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.apply_for_mortgage to authenticated;

drop function public.offer_mortgage(text, text, numeric, bigint, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb);

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
  room_refs       jsonb   default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request     jsonb := jsonb_build_array(
    'offer_mortgage', offer_mortgage.application_id, offer_mortgage.offer_id, offer_mortgage.interest_rate,
    offer_mortgage.monthly_payment, offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment,
    offer_mortgage.fees, offer_mortgage.validity, offer_mortgage.terms_ref, offer_mortgage.room_refs
  );
  answer      jsonb := private.first_answer(offer_mortgage.idempotency_key, request);
  lender      uuid := private.acting_thinker();
  new_id      text := coalesce(offer_mortgage.offer_id, private.new_id('mort-offer'));
  room        text := 'mortgage:offer:' || new_id;
  application public.mortgage_applications;
  offer       public.mortgage_offers;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(offer_mortgage.idempotency_key, request, private.offer_json(offer));
end;
$$;

comment on function public.offer_mortgage is
  'Offers a mortgage for an application, which becomes offered, as the acting thinker, who must have the role lender, or for '
  'whom a trusted server speaks. interest_rate is a fraction, '
  'monthly_payment in minor units (cents); loan to terms_ref are the lender''s own words. Without room_refs a room for the '
  'negotiation is made. Returns the offer. Refuses: not_signed_in (401); lender_role_required (403); amount_out_of_range, interest_out_of_range (400); '
  'application_not_found (404); application_closed, offer_exists (409). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.offer_mortgage to authenticated, service_role;

drop function public.accept_mortgage_offer(text);

create function public.accept_mortgage_offer(offer_id text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request     jsonb := jsonb_build_array('accept_mortgage_offer', accept_mortgage_offer.offer_id);
  answer      jsonb := private.first_answer(accept_mortgage_offer.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
  offer       public.mortgage_offers;
  contract    public.mortgage_contracts;
begin
  if answer is not null then
    return answer;
  end if;

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
  return private.keep_answer(
    accept_mortgage_offer.idempotency_key,
    request,
    jsonb_build_object(
      'contract', private.mortgage_contract_json(contract),
      'offer', private.offer_json(offer)
    )
  );
end;
$$;

comment on function public.accept_mortgage_offer is
  'Accepts an offer as its borrower: the application is accepted, its other offers are withdrawn, and a contract with its '
  'room is made. Returns {contract, offer}. Refuses: not_signed_in (401), not_the_offers_borrower (403), offer_not_found (404), '
  'offer_not_open (409, with the status as detail). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.accept_mortgage_offer to authenticated;

drop function public.sign_mortgage_contract(text, text);

create function public.sign_mortgage_contract(contract_id text, signer text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request  jsonb := jsonb_build_array(
    'sign_mortgage_contract', sign_mortgage_contract.contract_id, sign_mortgage_contract.signer
  );
  answer   jsonb := private.first_answer(sign_mortgage_contract.idempotency_key, request);
  contract public.mortgage_contracts;
  borrower uuid;
  lender   uuid;
begin
  if answer is not null then
    return answer;
  end if;

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

  return private.keep_answer(sign_mortgage_contract.idempotency_key, request, private.mortgage_contract_json(contract));
end;
$$;

comment on function public.sign_mortgage_contract is
  'Signs a mortgage contract as its borrower, its lender or the notary (a thinker with that role, or a trusted server), in '
  'any order; signing again changes nothing. With all three the contract is signed. Returns the contract. '
  'Refuses: signer_unknown (400); not_the_borrower, not_the_lender, not_a_notary (403); mortgage_contract_not_found (404). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.sign_mortgage_contract to authenticated, service_role;

drop function public.log_transfer(text, numeric, text, numeric, text, text, text, text, text, jsonb);

create function public.log_transfer(
  direction        text,
  crypto_amount    numeric,
  crypto_symbol    text,
  fiat_major       numeric,
  fiat_currency    text,
  label            text    default null,
  wallet_address   text    default null,
  network          text    default null,
  external_account text    default null,
  meta             jsonb   default null,
  idempotency_key  text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  request    jsonb := jsonb_build_array(
    'log_transfer', log_transfer.direction, log_transfer.crypto_amount, log_transfer.crypto_symbol,
    log_transfer.fiat_major, log_transfer.fiat_currency, log_transfer.label, log_transfer.wallet_address,
    log_transfer.network, log_transfer.external_account, log_transfer.meta
  );
  answer     jsonb := private.first_answer(log_transfer.idempotency_key, request);
  thinker    uuid;
  fiat_minor numeric;
  transfer   public.transfers;
begin
  if answer is not null then
    return answer;
  end if;

  if auth.uid() is not null or not private.is_service() then
    thinker := private.acting_thinker();
  end if;

  if coalesce(log_transfer.direction, '') not in ('in', 'out') then
    raise sqlstate 'PT400' using message = 'direction_unknown';
  end if;
  if num_nulls(
    log_transfer.crypto_amount, log_transfer.crypto_symbol, log_transfer.fiat_major, log_transfer.fiat_currency
  ) > 0 then
    raise sqlstate 'PT400' using message = 'amounts_required';
  end if;

  -- NaN is greater than every number, and so refused with the infinities
  fiat_minor := log_transfer.fiat_major * 10::numeric ^ private.currency_exponent(log_transfer.fiat_currency);
  if abs(fiat_minor) > 9007199254740991 or abs(log_transfer.crypto_amount) >= 1e18 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;

  insert into public.transfers (
    id, direction, wallet_address, network, crypto_amount, crypto_symbol,
    fiat_amount, fiat_currency, external_account, meta, label, thinker_id
  )
  values (
    private.new_id(log_transfer.direction),
    log_transfer.direction,
    log_transfer.wallet_address,
    log_transfer.network,
    log_transfer.crypto_amount,
    log_transfer.crypto_symbol,
    round(fiat_minor),
    log_transfer.fiat_currency,
    log_transfer.external_account,
    coalesce(log_transfer.meta, '{}'),
    coalesce(
      log_transfer.label,
      case log_transfer.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
    ),
    thinker
  )
  returning * into transfer;

  return private.keep_answer(log_transfer.idempotency_key, request, private.transfer_json(transfer));
end;
$$;

comment on function public.log_transfer is
  'Logs a transfer intent of the acting thinker, or of nobody in particular for a trusted server. fiat_major is in the '
  'currency''s major unit (euros) and is rounded to the minor unit, half away from zero; crypto_amount keeps 18 decimals. '
  'Returns the transfer. Refuses: not_signed_in (401); direction_unknown, amounts_required, amount_out_of_range (400). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.log_transfer to authenticated, service_role;

drop function public.record_telemetry(jsonb);

create function public.record_telemetry(events jsonb, idempotency_key text default null)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('record_telemetry', record_telemetry.events);
  answer  jsonb := private.first_answer(record_telemetry.idempotency_key, request);
  actor   uuid;
  stored  integer;
begin
  if answer is not null then
    return answer::integer;
  end if;

  if coalesce(jsonb_typeof(record_telemetry.events), '') <> 'array' then
    raise sqlstate 'PT400' using message = 'events_required';
  end if;
  if jsonb_array_length(record_telemetry.events) > 1000 then
    raise sqlstate 'PT413' using message = 'too_many_events';
  end if;

  -- a trusted server speaks for the pages' users; anybody else for itself only. In the order of their ids, so that
  -- two batches with the same new thinkers wait for each other and never in a circle
  if private.is_service() then
    perform private.thinker_of(named.uid)
    from (
      select distinct e ->> 'actor_uid' as uid
      from jsonb_array_elements(record_telemetry.events) as e
      where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> ''
    ) named
    order by private.thinker_id(named.uid);
  else
    actor := private.acting_thinker();
  end if;

  insert into public.telemetry_events (type, path, actor_id, meta)
  select e ->> 'type', e ->> 'path', coalesce(actor, private.thinker_id(e ->> 'actor_uid')), nullif(e -> 'meta', 'null')
  from jsonb_array_elements(record_telemetry.events) as e
  where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> '';
  get diagnostics stored = row_count;

  perform private.keep_answer(record_telemetry.idempotency_key, request, to_jsonb(stored));
  return stored;
end;
$$;

comment on function public.record_telemetry is
  'Stores what pages report: an array of {type, path, actor_uid, meta}; events without a type are skipped. Returns how many '
  'were stored. Refuses: events_required, uid_invalid (400), not_signed_in (401), too_many_events (413: more than 1,000). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.record_telemetry to authenticated, service_role;
