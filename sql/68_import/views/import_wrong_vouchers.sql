create view private.import_wrong_vouchers
with (security_invoker = true)
as
with voucher as not materialized (
  select
    v.id, v.status, v.holder_id, v.issued_to,
    -- a booking of its own source: whose it is and when it ends is not known yet
    exists (
      select from private.import_rejects j
      where j.legacy_table = 'voucher_bookings' and j.resolved_at is null
        and left(j.content ->> 'voucher_id', 256) = v.id
        -- no join, which may begin with all rows that were ever imported
        and j.source = any (
          (select o.shown_by from private.import_rows o where o.legacy_table = 'vouchers' and o.id = v.id)::text[]
        )
      offset 0
    ) as waits
  from public.vouchers v
)

select b.id, t.status, t.holder_id, v.issued_to
from (
  select
    b.voucher_id as id, count(*) filter (where b.status = 'booked') as active,
    (array_agg(b.holder_id order by b.created_at desc, b.id desc) filter (where b.status = 'booked')) as holders
  from public.voucher_bookings b
  join private.import_rows r on r.legacy_table = 'vouchers' and r.id = b.voucher_id
  group by b.voucher_id
) b
join voucher v on v.id = b.id
cross join lateral (
  select
    -- with a holder it is no open offer
    case when b.active > 0 then b.holders[1] when v.waits then v.holder_id end as holder_id,
    case when b.active > 0 then 'booked' else 'issued' end as status
) t
where (b.active > 0 and v.status not in ('booked', 'consumed'))
  or (b.active = 0 and v.status = 'booked')
  or (b.active = 0 and v.status = 'issued' and v.issued_to is null and v.holder_id is not null and t.holder_id is null)
  or (b.active > 0 and v.status = 'booked' and not coalesce(v.holder_id = any (b.holders), false))
union all
-- booked without a booking
select v.id, v.status, v.holder_id, v.holder_id as issued_to
from voucher v
where v.status in ('booked', 'consumed') and v.holder_id is not null and v.issued_to is null and not v.waits
  and not exists (select from public.voucher_bookings b where b.voucher_id = v.id)
  and exists (select from private.import_rows r where r.legacy_table = 'vouchers' and r.id = v.id);

comment on view private.import_wrong_vouchers is
  'The imported vouchers whose status, holder or reservation do not follow from their bookings, and what they should '
  'be: a voucher with an active booking is booked, and one that was booked without a booking is reserved for its '
  'holder. While a booking of it waits as a reject, it is neither reserved nor an open offer.';
