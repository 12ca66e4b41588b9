create function private.import_voucher_states()
returns bigint
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  wrong   constant text := '
    select v.id, b.holders[1] as holder
    from (
      select
        b.voucher_id, count(*) filter (where b.status = ''booked'') as active,
        (array_agg(b.holder_id order by b.created_at desc, b.id desc) filter (where b.status = ''booked'')) as holders
      from public.voucher_bookings b
      join private.import_rows r on r.legacy_table = ''vouchers'' and r.id = b.voucher_id
      group by b.voucher_id
    ) b
    join public.vouchers v on v.id = b.voucher_id
    where (b.active > 0 and v.status not in (''booked'', ''consumed''))
      or (b.active = 0 and v.status = ''booked'')
      or (b.active > 0 and v.status = ''booked'' and not coalesce(v.holder_id = any (b.holders), false))';
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
       set status = case when w.holder is null then ''issued'' else ''booked'' end, holder_id = w.holder
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
       returning v.*
     )
     update private.import_rows r set digest = %s from t where r.legacy_table = ''vouchers'' and r.id = t.id',
    private.import_digest('vouchers', 't')
  );
  perform set_config('portal.import', '', true);
  return changed;
end;
$$;

comment on function private.import_voucher_states is
  'Lets status and holder of imported vouchers follow from their bookings, where the legacy servers left them '
  'otherwise: a voucher with an active booking is booked. Returns how many. One that was booked without a booking is '
  'reserved for its holder.';
