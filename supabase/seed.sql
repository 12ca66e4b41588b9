-- Demo data; running this file again changes nothing. The first part creates the rows that the documentation shows,
-- through the same functions as the portal's requests.
do $$
declare
  zone     constant text := (select s.time_zone from private.settings s);
  tomorrow constant timestamp := (now() at time zone zone)::date + interval '1 day';
  result   jsonb;

  anna  jsonb := '{"role": "authenticated", "public_id": "demo-anna"}';
  ben   jsonb := '{"role": "authenticated", "public_id": "demo-ben"}';
  clara jsonb := '{"role": "authenticated", "public_id": "demo-clara"}';
  bank  jsonb := '{"role": "authenticated", "public_id": "demo-bank"}';
begin
  -- a concurrent run waits here, and then finds the data
  perform pg_advisory_xact_lock(hashtextextended('seed', 0));

  if exists (select from public.vouchers where id = 'v-demo-consulting') then
    return;
  end if;

  anna  := anna  || jsonb_build_object('sub', private.thinker_id('demo-anna'));
  ben   := ben   || jsonb_build_object('sub', private.thinker_id('demo-ben'));
  clara := clara || jsonb_build_object('sub', private.thinker_id('demo-clara'));
  bank  := bank  || jsonb_build_object('sub', private.thinker_id('demo-bank'));

  -- only operators assign roles
  insert into public.thinkers (id, public_id, roles)
  values (private.thinker_id('demo-bank'), 'demo-bank', '{lender}')
  on conflict (id) do update set roles = excluded.roles;

  -- Anna issues a voucher from each template, for next week's office hours
  perform set_config('request.jwt.claims', anna::text, true);
  perform public.issue_voucher(
    voucher_id => 'v-demo-' || t.id,
    service_type => t.service_type,
    title => t.title,
    duration_minutes => t.default_duration,
    valid_from => (tomorrow + interval '8 hours') at time zone zone,
    valid_until => (tomorrow + interval '6 days 17 hours') at time zone zone,
    price_amount => case t.id when 'viewing' then null else 12000 end,
    transferable => true,
    terms => t.default_terms
  )
  from public.voucher_templates t;

  -- Ben books two appointments and cancels one
  perform set_config('request.jwt.claims', ben::text, true);
  perform public.book_voucher('v-demo-consulting', (tomorrow + interval '9 hours') at time zone zone);
  result := public.book_voucher('v-demo-therapy', (tomorrow + interval '10 hours') at time zone zone);
  perform public.cancel_booking(booking_id => result #>> '{booking,id}', reason => 'krank');

  -- Clara applies for a mortgage and accepts the bank's offer
  perform set_config('request.jwt.claims', clara::text, true);
  perform public.apply_for_mortgage(
    application_id => 'app-demo-1', property_id => 'house-123', desired_loan => 36000000, duration_years => 20,
    rate_type => 'fixed', max_interest => 0.04, meta => '{"employmentStatus": "employee"}'
  );
  perform public.apply_for_mortgage(
    application_id => 'app-demo-2', property_id => 'house-456', desired_loan => 18000000, duration_years => 15,
    rate_type => 'variable', max_interest => 0.035
  );
  perform set_config('request.jwt.claims', bank::text, true);
  perform public.offer_mortgage(
    'app-demo-1', offer_id => 'mort-offer-demo-1', interest_rate => 0.0385, monthly_payment => 215000
  );
  perform set_config('request.jwt.claims', clara::text, true);
  perform public.accept_mortgage_offer('mort-offer-demo-1');

  -- transfers in three currencies
  perform set_config('request.jwt.claims', ben::text, true);
  perform public.log_transfer('in', 0.5, 'ETH', 1500.75, 'EUR', network => 'Ethereum Mainnet');
  perform public.log_transfer('out', 120.25, 'USDC', 120, 'USD', network => 'Polygon');
  perform public.log_transfer('in', 0.01, 'BTC', 95000, 'JPY', network => 'Bitcoin');

  perform set_config('request.jwt.claims', '', true);
end;
$$;

-- Three months of history, the second part. Rows are inserted with times in the past. The triggers write events and fee
-- events with the time of this transaction; these are then dated back. Nothing is random: on the same day the rows are
-- the same.
do $$
declare
  zone    constant text := (select s.time_zone from private.settings s);
  today   constant date := (now() at time zone zone)::date;
  first   constant date := today - 98;
  -- hours at which people work, and at which they are at home
  office  constant integer[] := '{8, 9, 9, 10, 10, 11, 13, 14, 15, 16, 17}';
  evening constant integer[] := '{7, 8, 12, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22}';

  transfer_fee public.fees;
  made         uuid[] := '{}';
  month        timestamp;
  settlement   jsonb;
begin
  -- such transfers exist only after an earlier run: transfers are never deleted
  if exists (select from public.transfers t where t.id like 'in-demo-%') then
    return;
  end if;

  -- only on an unused portal: demo rows must not mix with the bookings and settlements of real users
  if exists (select from public.thinkers t where t.public_id !~ '^demo-' and t.public_id <> 'togethersystems')
    or exists (select from public.transfers t where t.thinker_id is null)
    or exists (select from public.settlements)
  then
    raise notice 'The demo''s history is for a portal that nobody uses yet: it is left out.';
    return;
  end if;

  -- before any row is written, because creating a partition waits for all writers
  perform private.make_event_partitions();
  perform private.make_event_partition(m.month at time zone 'UTC')
  from generate_series(date_trunc('month', first - interval '1 day'), today::timestamp, interval '1 month') as m (month)
  where not exists (
    select from private.event_partitions() p
    where m.month at time zone 'UTC' >= p.starts_at and m.month at time zone 'UTC' < p.ends_at
  );

  -- in the order in which writers lock them, to avoid deadlocks
  lock table public.thinkers, public.fees, public.settlements, public.settlement_payments, public.fee_versions,
    public.fee_events, public.events
  in share row exclusive mode;

  -- a number from 0 to 1, the same for the same label
  create function pg_temp.dice(label text) returns double precision language sql immutable as
    $sql$ select (hashtextextended(label, 0) & 1048575) / 1048576.0::double precision $sql$;
  create function pg_temp.one_of(choices anyarray, label text) returns anyelement language sql immutable as
    $sql$ select choices[1 + floor(pg_temp.dice(label) * cardinality(choices))::integer] $sql$;
  create function pg_temp.moment(day date, hours integer[], label text) returns timestamp language sql immutable as
    $sql$
      select day + make_interval(
        hours => pg_temp.one_of(hours, label || ' hour'), secs => floor(pg_temp.dice(label || ' second') * 3600)
      )
    $sql$;
  -- moves 70 percent of the weekend's activity to the week before
  create function pg_temp.working_day(day date, label text) returns date language sql immutable as
    $sql$
      select case
        when extract(isodow from day) > 5 and pg_temp.dice(label || ' weekend') < 0.7
          then date_trunc('week', day::timestamp)::date + floor(pg_temp.dice(label || ' weekday') * 5)::integer
        else day
      end
    $sql$;

  -- weight: activity differs by weekday and grows over time. The next two weeks have appointments too
  create temporary table demo_days on commit drop as
  select
    first + i as day,
    to_char(first + i, 'YYYYMMDD') as label,
    (array[1.0, 1.1, 1.2, 1.1, 0.9, 0.4, 0.25])[extract(isodow from first + i)::integer]
      * (0.6 + 0.4 * i / 98) as weight
  from generate_series(0, 112) as i;

  -- the first 14 people issue vouchers, the others book; half join in the first week, then one every four days
  create temporary table demo_people on commit drop as
  select
    p.n, p.uid, private.thinker_id(p.uid) as id, md5('session of ' || p.uid)::uuid as session_id, c.pair_code,
    'room-' || c.pair_code || '-' || left(md5(c.pair_code), 20) as room_id,
    pg_temp.moment(
      first + case when p.n <= 24 then p.n / 4 else 6 + floor((p.n - 24) * 3.75)::integer end, evening, p.uid
    ) at time zone zone as created_at
  from (
    select n::integer, 'demo-' || name as uid
    from unnest(array[
      'lena', 'jonas', 'mila', 'aiko', 'emma', 'olivia', 'felix', 'greta', 'henri', 'ida', 'jakob', 'klara', 'luca',
      'marta', 'nils', 'oskar', 'paula', 'quirin', 'rosa', 'selma', 'theo', 'ulla', 'viktor', 'wanda', 'xaver', 'yara',
      'zeno', 'alma', 'bruno', 'carla', 'david', 'elif', 'finn', 'gisela', 'hamid', 'ines', 'jule', 'kasimir', 'lotte',
      'milan', 'nora', 'otto', 'petra', 'rafael', 'sofia', 'tarek', 'ursula', 'vera'
    ]) with ordinality as listed (name, n)
  ) p
  join unnest(array[
    'familie_berger', 'projekt_delta', 'projekt_omega', 'steuerberatung', 'chor', 'gemeinschaftsgarten', 'werkstatt',
    'lesekreis'
  -- rooms of eleven down to two people
  ]) with ordinality as c (pair_code, n) on c.n = 1 + width_bucket(p.n * 7 % 48, array[11, 20, 28, 34, 39, 43, 46]);

  insert into public.thinkers (id, public_id, created_at)
  select p.id, p.uid, p.created_at from demo_people p
  on conflict do nothing;
  update public.thinkers t
  set verified_at = p.created_at + interval '1 minute'
  from demo_people p
  where t.id = p.id;

  -- only operators assign roles
  insert into public.thinkers (id, public_id, created_at, roles)
  select private.thinker_id(official.uid), official.uid, (first + interval '7 hours') at time zone zone, official.roles
  from (
    values
      ('demo-bank', '{lender}'::text[]), ('demo-sparkasse', '{lender}'), ('demo-hypo', '{lender}'),
      ('demo-notar', '{notary}'), ('demo-treuhand', '{}')
  ) official (uid, roles)
  on conflict (id) do update
  set created_at = least(thinkers.created_at, excluded.created_at), roles = excluded.roles;

  -- vouchers: a window of four to eight hours, issued 2 to 12 days before
  insert into public.vouchers (
    id, issuer_id, service_type, title, duration_minutes, valid_from, valid_until, price_amount, price_currency,
    transferable, terms, created_at
  )
  select
    v.id, p.id, t.service_type, t.title, t.default_duration, v.valid_from,
    v.valid_from + make_interval(hours => 4 + floor(pg_temp.dice(v.id || ' until') * 5)::integer),
    o.price, o.currency, true, t.default_terms, issued.at
  from demo_days d
  cross join generate_series(1, round(6 * d.weight)::integer) as k
  cross join lateral (
    select
      'v-demo-' || d.label || '-' || k as id,
      (d.day + make_interval(hours => 8 + k % 3)) at time zone zone as valid_from
  ) v
  join (
    values
      (1, 'consulting', 'EUR', 12000), (2, 'consulting', 'CHF', 16000), (3, 'therapy', 'EUR', 9500),
      (4, 'therapy', 'JPY', 14000), (5, 'viewing', null, null), (6, 'consulting', 'USD', 13500),
      (7, 'machine', 'EUR', 24050), (8, 'consulting', 'EUR', 9900), (9, 'therapy', 'EUR', 11025),
      (10, 'membership', 'EUR', 1990), (11, 'viewing', null, null), (12, 'machine', 'CHF', 21000),
      (13, 'consulting', 'EUR', 14500), (14, 'membership', 'EUR', 2490)
  ) o (n, template, currency, price) on o.n = 1 + floor(pg_temp.dice(v.id || ' issuer') * 14)
  join demo_people p on p.n = o.n
  join public.voucher_templates t on t.id = o.template
  cross join lateral (
    select pg_temp.moment(
      pg_temp.working_day(d.day - 2 - floor(pg_temp.dice(v.id || ' lead') * 11)::integer, v.id), office, v.id
    ) at time zone zone as at
  ) issued
  where issued.at between p.created_at and now();

  -- bookings: made between issue and slot, by people who have joined before
  insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at)
  select b.id, v.id, v.issuer_id, holder.id, b.slot, b.slot + make_interval(mins => v.duration_minutes), booked.at
  from public.vouchers v
  cross join lateral (
    select slot, 'b' || substr(v.id, 2) || '-' || to_char(slot at time zone zone, 'HH24') as id
    from generate_series(
      v.valid_from,
      v.valid_until - make_interval(mins => v.duration_minutes),
      make_interval(hours => ceil(v.duration_minutes / 60.0)::integer)
    ) as slot
  ) b
  cross join lateral (
    select (v.created_at at time zone zone)::date as issued_on, (b.slot at time zone zone)::date as day
  ) local
  join demo_days d on d.day = local.day
  cross join lateral (
    select greatest(
      v.created_at + interval '1 minute' * (10 + floor(pg_temp.dice(b.id || ' soon') * 120)),
      least(
        b.slot - interval '30 minutes',
        pg_temp.moment(
          pg_temp.working_day(
            local.issued_on + floor(pg_temp.dice(b.id || ' day') * (local.day - local.issued_on + 1))::integer, b.id
          ),
          evening, b.id
        ) at time zone zone
      )
    ) as at
    -- computed once, not again for each person
    offset 0
  ) booked
  cross join lateral (
    select p.id
    from demo_people p
    where p.n > 14 and p.created_at < booked.at
    order by pg_temp.dice(b.id || p.uid)
    limit 1
  ) holder
  where v.id ~ '^v-demo-\d'
    and booked.at <= now()
    and pg_temp.dice(b.id) < (0.3 + 0.3 * d.weight) * case v.service_type
      when 'therapy.session' then 1.2 when 'machine.rental' then 0.8 when 'realestate.viewing' then 0.7 else 1
    end;

  -- one in eight is cancelled
  update public.voucher_bookings b
  set status = 'cancelled', cancelled_at = c.at, cancel_reason = c.reason
  from (
    select
      w.id,
      date_trunc('second', w.created_at + (w.slot_start - w.created_at) * pg_temp.dice(w.id || ' when')) as at,
      pg_temp.one_of(array['krank', 'Termin verschoben', 'verhindert', null], w.id || ' why') as reason
    from public.voucher_bookings w
    where w.id like 'b-demo-%' and pg_temp.dice(w.id || ' cancelled') < 0.125
  ) c
  where b.id = c.id and c.at <= now();

  update public.vouchers v
  set holder_id = last.holder_id,
      status = case
        when last.holder_id is not null then case when v.valid_until > now() then 'booked' else 'consumed' end
        when v.valid_until > now() then 'issued'
        when pg_temp.dice(v.id) < 0.2 then 'cancelled'
        else 'expired'
      end
  from public.vouchers w
  left join lateral (
    select b.holder_id
    from public.voucher_bookings b
    where b.voucher_id = w.id and b.status = 'booked'
    order by b.created_at desc, b.id desc
    limit 1
  ) last on true
  where v.id = w.id and v.id ~ '^v-demo-\d';

  -- in the history a transfer costs a quarter of a percent, owed to a trustee; afterwards the fee is restored. Not done
  -- if an operator charges for transfers
  select * into transfer_fee from public.fees f where f.id = 'transfer.logged' for update;
  update public.fees f
  set percentage = 0.0025, active = true, beneficiary_id = private.thinker_id('demo-treuhand')
  where f.id = transfer_fee.id and not f.active;

  insert into public.transfers (
    id, direction, wallet_address, network, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, external_account,
    status, created_at, updated_at, label, thinker_id
  )
  select
    x.id, x.direction,
    case when kind.network is not null then '0x' || left(md5(p.uid) || md5(x.id), 40) end, kind.network,
    round((x.euros * kind.to_fiat / kind.price)::numeric, 6), kind.symbol,
    round(x.euros * kind.to_fiat * 10 ^ private.currency_exponent(kind.currency)), kind.currency,
    'Referenz ' || x.id, settled.status, x.at, settled.at,
    case x.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end, p.id
  from (
    select
      d.day, n.direction || '-demo-' || n.label as id, n.direction, n.label,
      20 + 3000 * pg_temp.dice(n.label || ' amount') ^ 3 as euros,
      pg_temp.moment(d.day, office || evening, n.label) at time zone zone as at
    from demo_days d
    cross join generate_series(1, round(3.6 * d.weight)::integer) as k
    cross join lateral (
      select
        d.label || '-' || k as label,
        case when pg_temp.dice('direction' || d.label || k) < 0.6 then 'in' else 'out' end as direction
    ) n
  ) x
  join (
    values
      (1, 'Ethereum Mainnet', 'ETH', 'EUR', 1, 3200), (2, 'Ethereum Mainnet', 'ETH', 'EUR', 1, 3200),
      (3, 'Ethereum Mainnet', 'USDC', 'USD', 1.1, 1.1), (4, 'Polygon', 'USDC', 'USD', 1.1, 1.1),
      (5, 'Polygon', 'USDC', 'EUR', 1, 1), (6, 'Bitcoin', 'BTC', 'EUR', 1, 91000),
      (7, 'Bitcoin', 'BTC', 'CHF', 0.95, 87000), (8, 'Bitcoin', 'BTC', 'JPY', 165, 15000000),
      (9, null, 'USDT', 'EUR', 1, 1), (10, null, 'USDT', 'CHF', 0.95, 0.95)
  ) kind (n, network, symbol, currency, to_fiat, price) on kind.n = 1 + floor(pg_temp.dice(x.label || ' kind') * 10)
  cross join lateral (
    select q.id, q.uid from demo_people q where q.created_at < x.at order by pg_temp.dice(x.label || q.uid) limit 1
  ) p
  -- 80 percent are settled a day later
  cross join lateral (
    select
      case when s.is_settled then 'settled' else 'logged' end as status,
      case when s.is_settled then x.at + interval '1 day' else x.at end as at
    from (
      select x.at + interval '1 day' <= now() and pg_temp.dice(x.label || ' settled') < 0.8 as is_settled
    ) s
  ) settled
  where x.at <= now();

  update public.fees f
  set percentage = transfer_fee.percentage, active = transfer_fee.active, beneficiary_id = transfer_fee.beneficiary_id
  where f.id = transfer_fee.id;

  -- mortgages: an application every three days, offers by up to three lenders two to five days later
  insert into public.properties (id, address, created_by)
  select 'house-demo-' || n, format('Lindenweg %s, 10115 Berlin', n), borrower.id
  from generate_series(11, 42) as n
  cross join lateral (
    select p.id from demo_people p where p.n > 14 and p.n <= 24 order by pg_temp.dice('house' || n || p.uid) limit 1
  ) borrower
  on conflict do nothing;

  insert into public.mortgage_applications (
    id, property_id, borrower_id, desired_loan, currency, duration_years, rate_type, max_interest, created_at,
    submission_ts
  )
  select
    'app-demo-' || n, h.id, h.created_by, (15 + floor(pg_temp.dice(h.id || ' loan') * 50)) * 1000000,
    case when n % 6 = 0 then 'CHF' else 'EUR' end, 10 + 5 * (n % 5),
    case when n % 4 = 0 then 'variable' else 'fixed' end,
    round((0.035 + 0.015 * pg_temp.dice(h.id || ' interest'))::numeric, 4), applied.at, applied.at
  from generate_series(11, 42) as n
  join public.properties h on h.id = 'house-demo-' || n
  cross join lateral (
    select pg_temp.moment(pg_temp.working_day(first + 8 + 3 * (n - 11), h.id), evening, h.id) at time zone zone as at
  ) applied
  where applied.at <= now();

  insert into public.mortgage_offers (
    id, application_id, lender_id, interest_rate, monthly_payment, room_refs, created_at
  )
  select
    o.id, a.id, private.thinker_id(lender.uid), rate.a_year,
    -- an annuity
    round(a.desired_loan * rate.a_year / 12 / (1 - (1 + rate.a_year / 12) ^ (-12 * a.duration_years))),
    jsonb_build_object('negotiationRoomId', 'mortgage:offer:' || o.id, 'contractRoomId', null), o.at
  from public.mortgage_applications a
  cross join (values (1, 'demo-bank'), (2, 'demo-sparkasse'), (3, 'demo-hypo')) as lender (k, uid)
  cross join lateral (
    select
      'mort-offer' || substr(a.id, 4) || '-' || lender.k as id,
      a.created_at + make_interval(
        days => 1 + lender.k, hours => floor(pg_temp.dice(a.id || lender.uid || ' hour') * 5)::integer
      ) as at
  ) o
  cross join lateral (select round((0.029 + 0.014 * pg_temp.dice(o.id || ' rate'))::numeric, 4) as a_year) rate
  where a.id like 'app-demo-__' and o.at <= now() and pg_temp.dice(o.id) < 0.5;

  insert into public.rooms (id, owner_id, meta, created_at)
  select
    'mortgage:offer:' || o.id, o.lender_id, jsonb_build_object('source', 'mortgage', 'offer_id', o.id), o.created_at
  from public.mortgage_offers o
  where o.id like 'mort-offer-demo-__-_'
  on conflict do nothing;

  -- for half of the applications the best offer is accepted after a week, and signed by all three within five days
  create temporary table demo_accepted on commit drop as
  select distinct on (a.id) a.id as application_id, o.id as offer_id, a.created_at + interval '7 days' as at
  from public.mortgage_applications a
  join public.mortgage_offers o on o.application_id = a.id
  where a.id like 'app-demo-__'
    and a.created_at + interval '7 days' <= now()
    and pg_temp.dice(a.id || ' accepted') < 0.55
  order by a.id, o.interest_rate, o.id;

  update public.mortgage_offers o
  set status = case when o.id = x.offer_id then 'accepted' else 'withdrawn' end
  from demo_accepted x
  where o.application_id = x.application_id;

  update public.mortgage_applications a
  set status = case
    when exists (select from demo_accepted x where x.application_id = a.id) then 'accepted'
    when exists (select from public.mortgage_offers o where o.application_id = a.id) then 'offered'
    when a.created_at > now() - interval '30 days' then 'open'
    else 'rejected'
  end
  where a.id like 'app-demo-__';

  insert into public.mortgage_contracts (
    id, offer_id, created_at, borrower_signed_at, lender_signed_at, notary_signed_at, updated_at, status
  )
  select
    'mort-contract' || substr(x.application_id, 4), x.offer_id, x.at, s.borrower, s.lender, s.notary,
    greatest(s.borrower, s.lender, s.notary), case when s.notary is null then 'draft' else 'signed' end
  from demo_accepted x
  cross join lateral (
    select
      case when x.at + interval '1 day' <= now() then x.at + interval '1 day' end as borrower,
      case when x.at + interval '2 days' <= now() then x.at + interval '2 days' end as lender,
      case when x.at + interval '5 days' <= now() then x.at + interval '5 days' end as notary
  ) s;

  insert into public.rooms (id, type, owner_id, meta, created_at)
  select
    'mortgage:contract:' || c.id, 'contract', a.borrower_id,
    jsonb_build_object('source', 'mortgage', 'mortgage_contract_id', c.id), c.created_at
  from public.mortgage_contracts c
  join demo_accepted x on x.offer_id = c.offer_id
  join public.mortgage_applications a on a.id = x.application_id
  on conflict do nothing;

  -- telemetry of the pages, including a few errors
  insert into public.telemetry_events (id, type, path, actor_id, created_at)
  select
    r.id,
    case when pg_temp.dice(r.id || ' type') < 0.06 then 'js.error' else 'page.view' end,
    pg_temp.one_of(array['/', '/voucher.html', '/mortgage.html', '/telbank.html', '/presence.html'], r.id || ' path'),
    p.id, r.at
  from (
    select r.id, pg_temp.moment(d.day, office || evening, r.id) at time zone zone as at
    from demo_days d
    cross join generate_series(1, ceil(3 * d.weight)::integer) as k
    cross join lateral (select 'te-demo-' || d.label || '-' || k as id) r
    -- computed once, not again for each person
    offset 0
  ) r
  cross join lateral (
    select q.id from demo_people q where q.created_at < r.at order by pg_temp.dice(r.id || q.uid) limit 1
  ) p
  where r.at <= now();

  -- presence: people with the same pair code come online at about the same time, for 20 minutes or more, and time out
  -- afterwards
  create temporary table demo_sittings on commit drop as
  select
    d.day, p.id as thinker_id, p.session_id, p.pair_code, p.room_id, s.at, s.beats
  from demo_days d
  cross join demo_people p
  cross join lateral (
    select
      (d.day + make_interval(
        hours => pg_temp.one_of(evening, p.pair_code || d.label), secs => floor(pg_temp.dice(p.uid || d.label) * 900)
      )) at time zone zone as at,
      4 + floor(pg_temp.dice(p.uid || d.label || ' beats') * 6)::integer as beats
  ) s
  where p.created_at < s.at
    and s.at + s.beats * interval '5 minutes' <= now() - interval '2 minutes'
    and pg_temp.dice(p.uid || d.label || ' there') < 0.1 + 0.25 * d.weight;

  insert into public.rooms (id, owner_id, meta, created_at)
  select p.room_id, p.id, jsonb_build_object('source', 'presence', 'pair_code', p.pair_code), p.created_at
  from demo_people p
  where p.n <= 8
  on conflict do nothing;

  insert into public.presence_sessions (id, thinker_id, pair_code, status, silenced, last_seen_at, created_at)
  select
    p.session_id, p.id, p.pair_code, case when s.is_online then 'online' else 'offline' end, not s.is_online,
    case
      when s.is_online then now()
      else coalesce(
        (
          select max(t.at + t.beats * interval '5 minutes')
          from demo_sittings t
          where t.thinker_id = p.id
        ),
        p.created_at
      )
    end,
    p.created_at
  from demo_people p
  cross join lateral (select p.n in (7, 15, 21, 16, 23) as is_online) s
  on conflict (thinker_id) do nothing;

  -- five people are online now, in two rooms
  update public.presence_sessions s
  set room_id = p.room_id
  from demo_people p
  where s.id = p.session_id and s.status = 'online';

  -- allow changes of append-only tables until the end of this block
  alter table public.events disable trigger tg_events__refuse;
  alter table public.events disable trigger tg_events__refuse_row;
  alter table public.fee_events disable trigger tg_fee_events__refuse;
  alter table public.fee_versions disable trigger tg_fee_versions__refuse;

  -- date the triggers' events back
  update public.events e
  set created_at = h.at
  from (
    select 'presence.verify' as type, p.uid as id, null as signer, p.created_at + interval '1 minute' as at
      from demo_people p
    union all select 'presence.heartbeat', s.id::text, null, s.last_seen_at
      from public.presence_sessions s join demo_people p on p.session_id = s.id
    union all select 'voucher.issue', v.id, null, v.created_at from public.vouchers v where v.id ~ '^v-demo-\d'
    union all select 'voucher.expire', v.id, null, least(v.valid_until + interval '4 minutes', now())
      from public.vouchers v where v.id ~ '^v-demo-\d'
    union all select 'voucher.book', b.id, null, b.created_at from public.voucher_bookings b where b.id like 'b-demo-%'
    union all select 'voucher.cancel', b.id, null, b.cancelled_at
      from public.voucher_bookings b where b.id like 'b-demo-%'
    union all select 'transfer.logged', t.id, null, t.created_at from public.transfers t where t.id ~ '^(in|out)-demo-'
    union all select 'transfer.settled', t.id, null, t.updated_at from public.transfers t where t.id ~ '^(in|out)-demo-'
    union all select 'mortgage.application', a.id, null, a.created_at
      from public.mortgage_applications a where a.id like 'app-demo-__'
    union all select 'mortgage.offer', o.id, null, o.created_at
      from public.mortgage_offers o where o.id like 'mort-offer-demo-__-_'
    union all select 'mortgage.accept', x.offer_id, null, x.at from demo_accepted x
    union all select 'mortgage.sign', c.id, s.signer, s.at
      from public.mortgage_contracts c
      cross join lateral (
        values ('borrower', c.borrower_signed_at), ('lender', c.lender_signed_at), ('notary', c.notary_signed_at)
      ) s (signer, at)
      where c.id like 'mort-contract-demo-__'
    union all select 'telemetry.event', t.id, null, t.created_at
      from public.telemetry_events t where t.id like 'te-demo-%'
  ) h
  where e.type = h.type
    and e.subject_id = h.id
    and e.meta ->> 'signer' is not distinct from h.signer
    and h.at is not null;

  update public.fee_events e
  set created_at = case when e.reverses is null then h.charged_at else h.reversed_at end
  from (
    select b.id, b.created_at as charged_at, b.cancelled_at as reversed_at
      from public.voucher_bookings b where b.id like 'b-demo-%'
    union all select t.id, t.created_at, null from public.transfers t where t.id ~ '^(in|out)-demo-'
    union all select c.id, c.created_at, null from public.mortgage_contracts c where c.id like 'mort-contract-demo-__'
  ) h
  where e.subject_id = h.id;

  -- past heartbeats, matches and time-outs have no rows that triggers could log: insert their events directly
  insert into public.events (type, actor_id, subject_type, subject_id, meta, created_at)
  select e.type, s.thinker_id, e.subject_type, e.subject_id, jsonb_build_object('pairCode', s.pair_code) || e.meta, e.at
  from (
    select
      t.*,
      case when count(*) over circle > 1 then max(t.at) over circle + interval '20 seconds' end as matched_at,
      t.at + t.beats * interval '5 minutes' + interval '90 seconds' as silenced_at
    from demo_sittings t
    window circle as (partition by t.day, t.pair_code)
  ) s
  cross join lateral (
    select 'presence.heartbeat' as type, 'presence_session' as subject_type, s.session_id::text as subject_id,
      '{"status": "online"}'::jsonb as meta, s.at + beat * interval '5 minutes' as at
    -- the trigger wrote the last one with the session
    from generate_series(0, s.beats - 1) as beat
    union all
    select 'presence.match', 'room', s.room_id, '{}', s.matched_at
    union all
    select 'presence.offline', 'presence_session', s.session_id::text, '{"silenced": true}', s.silenced_at
  ) e
  -- a person who was alone has no match
  where e.at is not null;

  -- date the fee versions back, so that each charge is made under its version
  update public.fee_versions v
  set valid_from = first::timestamp at time zone zone
  where v.fee_id = transfer_fee.id and v.beneficiary_id = private.thinker_id('demo-treuhand') and v.active;
  update public.events e
  set created_at = first::timestamp at time zone zone
  where e.type = 'fee.changed' and e.subject_id = transfer_fee.id
    and e.meta -> 'after' ->> 'beneficiary_id' = private.thinker_id('demo-treuhand')::text;
  insert into public.fee_versions (
    fee_id, scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id, valid_from
  )
  select
    f.id, f.scope, f.percentage, f.fixed_amount, f.currency, f.min_cents, f.max_cents, f.active, f.beneficiary_id,
    first::timestamp at time zone zone
  from public.fees f
  where f.active and not exists (
    select from public.fee_versions v where v.fee_id = f.id and v.valid_from <= first::timestamp at time zone zone
  );

  -- what was given back after its charge was settled is not there yet
  create temporary table demo_reversals on commit drop as
  select e.*
  from public.fee_events e
  join public.fee_events c on c.id = e.reverses
  where e.created_at >= (
    date_trunc('month', c.created_at at time zone zone) + interval '1 month 1 day 9 hours'
  ) at time zone zone;
  delete from public.fee_events e using demo_reversals r where e.id = r.id;

  -- past months are settled and paid, francs in part only; of the last month EUR is invoiced, and other currencies are
  -- open
  for month in
    select generate_series(date_trunc('month', first::timestamp), today - interval '1 month', interval '1 month')
  loop
    with past as (
      delete from demo_reversals r
      where r.created_at < (month + interval '1 month 1 day 9 hours') at time zone zone
      returning *
    )
    insert into public.fee_events
    select * from past;
    for settlement in
      select jsonb_array_elements(public.settle_fees(month::date, (month + interval '1 month')::date))
    loop
      made := made || (settlement ->> 'id')::uuid;
      -- all of it was given back
      continue when (settlement ->> 'total_cents')::bigint = 0;
      if month + interval '2 months' <= today or settlement ->> 'currency' = 'EUR' then
        perform public.invoice_settlement((settlement ->> 'id')::uuid);
      end if;
      if month + interval '2 months' <= today then
        perform public.pay_settlement(
          (settlement ->> 'id')::uuid,
          case settlement ->> 'currency' when 'CHF' then greatest((settlement ->> 'total_cents')::bigint / 2, 1) end
        );
      end if;
    end loop;
  end loop;

  insert into public.fee_events
  select * from demo_reversals;

  -- date settlements and payments back
  alter table public.settlements disable trigger tg_settlements__move;
  alter table public.settlement_payments disable trigger tg_settlement_payments__refuse;
  update public.settlements s
  set created_at = least(now(), (s.period_to + interval '1 day 9 hours') at time zone zone),
      invoiced_at = case
        when s.invoiced_at is not null then least(now(), (s.period_to + interval '1 day 10 hours') at time zone zone)
      end,
      paid_at = case when s.paid_at is not null then (s.period_to + interval '11 days 9 hours') at time zone zone end,
      -- replaced below
      number = case when s.number is not null then s.id::text end
  where s.id = any (made);
  -- the number and the due date of an invoice are those of its day
  delete from private.invoice_numbers;
  update public.settlements s
  set due_on = i.day + (select z.payment_days from private.settings z),
      number = i.number
  from (
    select i.id, i.day, private.next_invoice_number(i.beneficiary_id, extract(year from i.day)::integer) as number
    from (
      select s.id, s.beneficiary_id, (s.invoiced_at at time zone zone)::date as day
      from public.settlements s
      where s.id = any (made) and s.invoiced_at is not null
      order by s.invoiced_at, s.id
    ) i
  ) i
  where s.id = i.id;
  update public.settlement_payments p
  set created_at = (s.period_to + interval '11 days 9 hours') at time zone zone,
      paid_on = s.period_to + 11
  from public.settlements s
  where s.id = any (made) and p.settlement_id = s.id;
  update public.events e
  set created_at = case e.type
        when 'settlement.created' then s.created_at
        when 'settlement.invoiced' then s.invoiced_at
        else (s.period_to + interval '11 days 9 hours') at time zone zone
      end,
      meta = e.meta || case
        when e.meta ? 'number' then jsonb_build_object('number', s.number, 'dueOn', s.due_on)
        when e.meta ? 'paidOn' then jsonb_build_object('paidOn', s.period_to + 11)
        else '{}'
      end
  from public.settlements s
  where s.id = any (made) and e.subject_type = 'settlement' and e.subject_id = s.id::text;

  -- append-only again
  alter table public.settlements enable trigger tg_settlements__move;
  alter table public.settlement_payments enable trigger tg_settlement_payments__refuse;
  alter table public.fee_versions enable trigger tg_fee_versions__refuse;
  alter table public.fee_events enable trigger tg_fee_events__refuse;
  alter table public.events enable trigger tg_events__refuse_row;
  alter table public.events enable trigger tg_events__refuse;

  drop table demo_days, demo_people, demo_accepted, demo_sittings, demo_reversals;
  drop function pg_temp.dice, pg_temp.one_of, pg_temp.moment, pg_temp.working_day;
end;
$$;
