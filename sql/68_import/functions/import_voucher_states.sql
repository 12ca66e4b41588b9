create function private.import_voucher_states()
returns bigint
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  -- a booking of its own source: whose it is and when it ends is not known yet
  waits   constant text := '
    exists (
      select from private.import_rejects j
      where j.legacy_table = ''voucher_bookings'' and j.resolved_at is null
        and left(j.content ->> ''voucher_id'', 256) = v.id
        -- no join, which may begin with all rows that were ever imported
        and j.source = any (
          (select o.shown_by from private.import_rows o where o.legacy_table = ''vouchers'' and o.id = v.id)::text[]
        )
      offset 0
    )';
  wrong   constant text := format(
    '
    select v.id, t.status, t.holder
    from (
      select
        b.voucher_id, count(*) filter (where b.status = ''booked'') as active,
        (array_agg(b.holder_id order by b.created_at desc, b.id desc) filter (where b.status = ''booked'')) as holders
      from public.voucher_bookings b
      join private.import_rows r on r.legacy_table = ''vouchers'' and r.id = b.voucher_id
      group by b.voucher_id
    ) b
    join public.vouchers v on v.id = b.voucher_id
    cross join lateral (
      select
        case when b.active > 0 then ''booked'' else ''issued'' end as status,
        -- with a holder it is no open offer
        case when b.active > 0 then b.holders[1] when %s then v.holder_id end as holder
    ) t
    where (b.active > 0 and v.status not in (''booked'', ''consumed''))
      or (b.active = 0 and v.status = ''booked'')
      or (
        b.active = 0 and v.status = ''issued'' and v.issued_to is null and v.holder_id is not null and t.holder is null
      )
      or (b.active > 0 and v.status = ''booked'' and not coalesce(v.holder_id = any (b.holders), false))',
    waits
  );
  changed bigint;
begin
  perform pg_advisory_xact_lock(private.lock_number('import_batch'));
  perform set_config('portal.import', 'on', true);

  -- after waiting, the next statement sees what others have changed
  execute format(
    'select v.id
     from public.vouchers v
     where v.id in (select w.id from (%s) w)
     order by v.id
     for no key update',
    wrong
  );
  execute format(
    'with t as (
       update public.vouchers v
       set status = w.status, holder_id = w.holder
       from (%s) w
       where v.id = w.id
       returning v.*
     ),
     kept as (
       update private.import_rows r set digest = %s from t where r.legacy_table = ''vouchers'' and r.id = t.id
     )
     select count(*) from t',
    wrong, private.import_digest('vouchers', 't')
  ) into changed;
  execute format(
    'with t as (
       update public.vouchers v
       set issued_to = v.holder_id
       where v.status in (''booked'', ''consumed'') and v.holder_id is not null and v.issued_to is null
         and not exists (select from public.voucher_bookings b where b.voucher_id = v.id)
         and exists (select from private.import_rows r where r.legacy_table = ''vouchers'' and r.id = v.id)
         and not %s
       returning v.*
     )
     update private.import_rows r set digest = %s from t where r.legacy_table = ''vouchers'' and r.id = t.id',
    waits, private.import_digest('vouchers', 't')
  );
  perform set_config('portal.import', '', true);
  return changed;
end;
$$;

comment on function private.import_voucher_states is
  'Lets status and holder of imported vouchers follow from their bookings, where the legacy servers left them '
  'otherwise: a voucher with an active booking is booked. Returns how many. One that was booked without a booking is '
  'reserved for its holder. While a booking of it waits as a reject, it is neither reserved nor an open offer.';
