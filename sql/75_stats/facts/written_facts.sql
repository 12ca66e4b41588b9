create view private.written_facts
as
select w.type, w.id, w.created_at, w.times
from (
  select 'voucher.issue' as type, v.id, v.created_at, 1 as times from public.vouchers v
  union all select 'voucher.book', b.id, b.created_at, 1 from public.voucher_bookings b
  union all select 'voucher.cancel', b.id, b.cancelled_at, 1 from public.voucher_bookings b where b.status = 'cancelled'
  union all
  select 'contract.upload', c.id::text, c.created_at, 1
  from public.contracts c
  where c.id not in (select private.import_uuid(r.id) from private.import_rows r where r.legacy_table = 'contracts')
  union all select 'mortgage.application', a.id, a.created_at, 1 from public.mortgage_applications a
  union all select 'mortgage.offer', o.id, o.created_at, 1 from public.mortgage_offers o
  union all select 'mortgage.accept', c.offer_id, c.created_at, 1 from public.mortgage_contracts c
  union all
  select 'mortgage.sign', c.id, least(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at),
    num_nonnulls(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at)
  from public.mortgage_contracts c
  union all select 'transfer.logged', t.id, t.created_at, 1 from public.transfers t
  union all select 'telemetry.event', t.id, t.created_at, 1 from public.telemetry_events t
  union all
  select case when e.adjusts is null then 'fee.reversed' else 'fee.adjusted' end, e.id::text, e.created_at, 1
  from public.fee_events e
  where e.reason is not null
  union all
  select 'settlement.payment', p.settlement_id::text, min(p.created_at), count(*)::integer
  from public.settlement_payments p
  group by p.settlement_id
  union all select 'settlement.created', s.id::text, s.created_at, 1 from public.settlements s
  union all select 'settlement.invoiced', s.id::text, s.invoiced_at, 1 from public.settlements s
  union all select 'settlement.paid', s.id::text, s.paid_at, 1 from public.settlements s
  union all select 'settlement.written_off', s.id::text, s.written_off_at, 1 from public.settlements s
  union all select 'settlement.voided', s.id::text, s.voided_at, 1 from public.settlements s
) w
left join private.import_rows i
  on i.id = w.id
  and i.legacy_table = case w.type
    when 'voucher.issue' then 'vouchers'
    when 'voucher.book' then 'voucher_bookings'
    when 'voucher.cancel' then 'voucher_bookings'
    when 'mortgage.application' then 'mortgage_applications'
    when 'mortgage.offer' then 'mortgage_offers'
    when 'transfer.logged' then 'transfers'
    when 'telemetry.event' then 'telemetry_events'
  end
-- a step that has not happened yet has no time
where w.created_at > now() - (select s.events_kept from private.settings s)
  -- history that was imported has the events of its source
  and (i.id is null or w.created_at > i.imported_at);

comment on view private.written_facts is
  'What was written within the time for which events are kept: the type, subject and time of the events that each '
  'change has, and how many it has.';
