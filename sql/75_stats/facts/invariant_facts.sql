create view private.invariant_facts
as
select 'bookings_do_not_overlap' as name, count(*) as violations,
  'Active bookings that begin before an earlier one of the same voucher has ended.' as meaning
from (
  select
    b.slot_start < max(b.slot_end) over (
      partition by b.voucher_id order by b.slot_start, b.id rows between unbounded preceding and 1 preceding
    ) as overlaps_another
  from public.voucher_bookings b
  where b.status = 'booked'
) b
where b.overlaps_another

union all
select 'voucher_status_agrees_with_bookings', count(*),
  'Vouchers with an active booking whose status is not booked or consumed, booked vouchers without an active booking, '
  'and vouchers whose holder has no active booking. (A voucher without any booking is not checked: it may be issued as '
  'booked.)'
from (
  select v.id
  from public.vouchers v
  join public.voucher_bookings b on b.voucher_id = v.id and b.status = 'booked'
  where v.status not in ('booked', 'consumed')
  group by v.id
  union all
  select v.id
  from (
    select v.id
    from public.vouchers v
    where v.status = 'booked'
      and not exists (
        select from public.voucher_bookings b
        where b.voucher_id = v.id and b.holder_id = v.holder_id and b.status = 'booked'
      )
    -- only for these few is a booking looked up
    offset 0
  ) v
  cross join lateral (select from public.voucher_bookings b where b.voucher_id = v.id limit 1) any_booking
) wrong

union all
select 'every_booking_is_charged_once', count(*),
  'Bookings without the charge of a fee in a currency, or with two of them. Only fees that were in force for an hour '
  'before and after the booking are checked, because a change at the same time may or may not apply. A booking that '
  'was inserted as cancelled, was imported, or that an issuer made with itself, has no charge. Only bookings that were '
  'logged within a day are checked: history that an operator inserts is charged when it is inserted.'
from public.voucher_bookings b
join public.vouchers v on v.id = b.voucher_id
join (
  select f.*, lead(f.valid_from, 1, 'infinity') over (partition by f.fee_id order by f.valid_from, f.id) as valid_to
  from public.fee_versions f
) f
  on f.active and f.scope = 'voucher'
  and f.valid_from < b.created_at - interval '1 hour' and f.valid_to > b.created_at + interval '1 hour'
cross join lateral (
  select v.price_currency as currency where v.price_amount > 0 and f.percentage > 0
  union all
  select f.currency
  where (
    f.fixed_amount > 0
    or f.min_cents > 0 and (coalesce(v.price_amount, 0) = 0 or v.price_currency = f.currency)
  )
  and (v.price_amount > 0 and f.percentage > 0 and v.price_currency = f.currency) is not true
) expected
-- counted for all at once, because a look-up for each booking costs more
left join (
  select e.subject_id, e.fee_id, e.currency, count(*) as number
  from public.fee_events e
  where e.subject_type = 'voucher_booking' and e.reverses is null and e.adjusts is null
  group by e.subject_id, e.fee_id, e.currency
) charged on charged.subject_id = b.id and charged.fee_id = f.fee_id and charged.currency = expected.currency
where b.holder_id <> b.issuer_id and case
  when coalesce(charged.number, 0) in (1, case b.status when 'cancelled' then 0 else 1 end) then false
  when
      exists (select from private.import_rows r where r.legacy_table = 'voucher_bookings' and r.id = b.id)
      then exists (
    select from public.fee_events e
    where e.subject_type = 'voucher_booking' and e.subject_id = b.id and e.reverses is null and e.adjusts is null
  )
  -- in this branch, because the log is large
  else exists (
    select from public.events e
    where e.subject_type = 'voucher_booking' and e.subject_id = b.id and e.type = 'voucher.book'
      and e.created_at < b.created_at + interval '1 day'
  )
end

union all
select 'every_cancellation_is_reversed_once', count(*),
  'Charges of a cancelled booking without a reversal, and reversals of a charge whose booking is active, or was '
  'cancelled too late for its fee. Only fees that were in force for an hour before and after a late cancellation are '
  'checked. What an operator reversed, with a reason, is valid.'
from public.fee_events c
left join public.voucher_bookings b on b.id = c.subject_id
left join public.fee_events r on r.reverses = c.id
where c.reverses is null and c.adjusts is null and c.subject_type = 'voucher_booking'
  and (
    case
      when r.reason is not null then false
      when b.status = 'booked' then r.id is not null
      when b.cancelled_at >= b.slot_start then exists (
        select from public.fee_versions f
        where f.fee_id = c.fee_id
          and f.reversed_after_start <> (r.id is not null)
          and f.valid_from < b.cancelled_at - interval '1 hour'
          and not exists (
            select from public.fee_versions g
            where g.fee_id = f.fee_id
              and (g.valid_from, g.id) > (f.valid_from, f.id)
              and g.valid_from <= b.cancelled_at + interval '1 hour'
          )
      )
      else r.id is null
    end
  )

union all
select 'corrections_agree_with_their_charge', count(*),
  'Charges whose reversal is not what adjustments left of them, or that were adjusted below zero, and corrections with '
  'another fee, subject, currency, beneficiary or payer, or of another correction.'
from (
  select from public.fee_events c
  join (
    select
      coalesce(e.reverses, e.adjusts) as charge, sum(e.amount_cents) as cents, count(e.reverses) as reversals
    from public.fee_events e
    where e.reverses is not null or e.adjusts is not null
    group by coalesce(e.reverses, e.adjusts)
  ) k on k.charge = c.id
  where c.amount_cents + k.cents < 0 or (k.reversals > 0 and c.amount_cents + k.cents <> 0)
  union all
  select from public.fee_events k
  join public.fee_events c on c.id = coalesce(k.reverses, k.adjusts)
  where (k.reverses is not null or k.adjusts is not null) and (
    c.reverses is not null or c.adjusts is not null
    or (k.fee_id, k.subject_type, k.subject_id, k.currency, k.beneficiary_id, k.payer_id)
      is distinct from (c.fee_id, c.subject_type, c.subject_id, c.currency, c.beneficiary_id, c.payer_id)
  )
) wrong

union all
select 'every_charge_has_its_subject', count(*),
  'Fee events for a booking, a transfer or a mortgage contract that does not exist.'
from public.fee_events e
where not case e.subject_type
  when 'voucher_booking' then exists (select from public.voucher_bookings b where b.id = e.subject_id)
  when 'transfer' then exists (select from public.transfers t where t.id = e.subject_id)
  when 'mortgage_contract' then exists (select from public.mortgage_contracts c where c.id = e.subject_id)
end

union all
select 'charges_agree_with_their_subject', count(*),
  'Charges whose base is not the price of the booking, the fiat amount of the transfer without its sign, or the '
  'amount of the loan.'
from (
  select c.base_cents, coalesce(b.price_amount, 0) as price
  from public.fee_events c
  join public.voucher_bookings b on b.id = c.subject_id
  where c.subject_type = 'voucher_booking'
    and c.reverses is null and c.adjusts is null
    -- the fixed part in another currency is a charge of its own, on a base of 0
    and (c.base_cents <> 0 or c.rate <> 0)
  union all
  select c.base_cents, coalesce(abs(t.fiat_amount), 0)
  from public.fee_events c
  join public.transfers t on t.id = c.subject_id
  where c.subject_type = 'transfer'
    and c.reverses is null and c.adjusts is null and (c.base_cents <> 0 or c.rate <> 0)
  union all
  select c.base_cents, coalesce(o.loan_amount, 0)
  from public.fee_events c
  join public.mortgage_contracts m on m.id = c.subject_id
  left join public.mortgage_offers o on o.id = m.offer_id
  where c.subject_type = 'mortgage_contract'
    and c.reverses is null and c.adjusts is null and (c.base_cents <> 0 or c.rate <> 0)
) e
where e.base_cents <> e.price

union all
select 'settlements_total_their_fee_events', count(*),
  'Settlements whose total is not the sum of their lines, or whose lines are not their fee events (a voided one has '
  'none of these).'
from public.settlements s
left join (
  select
    l.settlement_id, sum(e.amount_cents) as total, count(*) as lines,
    count(*) filter (where e.settlement_id = l.settlement_id) as linked
  from public.settlement_lines l
  join public.fee_events e on e.id = l.fee_event_id
  group by l.settlement_id
) l on l.settlement_id = s.id
left join (
  select f.settlement_id, count(*) as events from public.fee_events f group by f.settlement_id
) f on f.settlement_id = s.id
where s.total_cents <> coalesce(l.total, 0)
  or coalesce(f.events, 0) <> case s.status when 'voided' then 0 else coalesce(l.lines, 0) end
  or coalesce(l.linked, 0) <> case s.status when 'voided' then 0 else coalesce(l.lines, 0) end

union all
select 'payments_agree_with_their_settlement', count(*),
  'Settlements that are paid and whose payments are not their total, or that have payments of more than their total or '
  'without an invoice.'
from public.settlements s
left join (
  select p.settlement_id, sum(p.amount_cents) as cents from public.settlement_payments p group by p.settlement_id
) p on p.settlement_id = s.id
where case s.status
  when 'paid' then coalesce(p.cents, 0) <> s.total_cents
  when 'open' then p.cents <> 0
  when 'voided' then p.cents <> 0
  else abs(p.cents) >= abs(s.total_cents::numeric) or sign(p.cents) <> sign(s.total_cents::numeric)
end

union all
select 'invoice_numbers_have_no_gap', count(*),
  'Beneficiaries and years with fewer or more invoices than the last number says.'
from private.invoice_numbers n
full join (
  select
      s.beneficiary_id, extract(year from s.invoiced_at at time zone z.time_zone)::integer as year, count(*) as number
  from public.settlements s
  cross join private.settings z
  where s.number is not null
  group by s.beneficiary_id, year
) i on (i.beneficiary_id, i.year) = (n.beneficiary_id, n.year)
where n.last is distinct from i.number

union all
select 'balance_adds_up', count(*),
  'Beneficiaries and currencies for which the sum of all fee events is not what is unsettled, open, invoiced, paid and '
  'written off together.'
from (
  select e.beneficiary_id, e.currency, sum(e.amount_cents) as cents
  from public.fee_events e
  group by e.beneficiary_id, e.currency
) e
full join (
  select a.beneficiary_id, a.currency, sum(a.cents) as cents
  from (
    select u.beneficiary_id, u.currency, u.amount_cents::numeric as cents
    from public.fee_events u
    where u.settlement_id is null
    union all
    select s.beneficiary_id, s.currency, s.total_cents from public.settlements s where s.status <> 'voided'
  ) a
  group by a.beneficiary_id, a.currency
) a on (a.beneficiary_id, a.currency) = (e.beneficiary_id, e.currency)
where coalesce(e.cents, 0) <> coalesce(a.cents, 0)

union all
select 'no_fee_event_is_in_two_settlements', count(*),
  'Charges or reversals that were settled more than once, and fee events in a settlement of another beneficiary or '
  'currency.'
from (
  select from public.fee_events e
  where e.settlement_id is not null
    and e.adjusts is null
  group by e.fee_id, e.subject_type, e.subject_id, e.currency, e.reverses
  having count(*) > 1
  union all
  select from public.fee_events e
  join public.settlements s on s.id = e.settlement_id
  where (s.beneficiary_id, s.currency) <> (e.beneficiary_id, e.currency)
) twice

union all
select 'every_accepted_offer_has_one_contract', count(*),
  'Accepted mortgage offers without a contract, and contracts of an offer that is not accepted.'
from public.mortgage_offers o
full join public.mortgage_contracts c on c.offer_id = o.id
where (o.status = 'accepted') <> (c.id is not null)

union all
select 'every_write_has_its_event',
  -- in a subquery, so that who reads only the meaning reads no log (public.system_stats)
  (
    select count(*)
    from (
      -- rows and events are counted together, which costs less than a join of the counts
      select
      from (
        select w.type, w.id, w.times, 0 as logged from private.written_facts w
        union all
        -- most events are presence events, which no row expects
        select e.type, e.subject_id, null, 1
        from public.events e
        where e.type not like 'presence.%'
          -- no imported events, which may say anything; ids of those made here are of version 7, as few others are
          and get_byte(uuid_send(e.id), 6) / 16 = 7
          and not exists (
            select from private.import_rows i
            where i.legacy_table = 'events' and i.id like '________-____-7%' and private.import_uuid(i.id) = e.id
          )
      ) changes
      group by changes.type, changes.id
      having sum(changes.times) <> sum(changes.logged)
    ) wrong
  ),
  'Vouchers, bookings, cancellations, documents, applications, offers, accepted offers, signed contracts, transfers, '
  'telemetry, corrections by an operator, payments, and settlements with more or fewer events than changes, within the '
  'time for which events are kept. (Heartbeats and matches have no rows to compare with; what was imported has the '
  'events of its source.)';

comment on view private.invariant_facts is 'The data of stats.invariants.';

grant select on private.invariant_facts to service_role, stats_reader;
