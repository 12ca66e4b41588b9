create function private.import_voucher_states(vouchers text[])
returns bigint
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  changed bigint;
begin
  perform pg_advisory_xact_lock(private.lock_number('import_batch'));
  perform set_config('portal.import', 'on', true);

  perform from public.vouchers v where v.id = any (import_voucher_states.vouchers) order by v.id for no key update;
  -- after waiting, this statement sees what others have changed
  execute format(
    'with wrong as materialized (
       select w.*, v.issued_to as was from private.import_wrong_vouchers w join public.vouchers v on v.id = w.id
       where w.id = any ($1)
     ),
     t as (
       update public.vouchers v
       set status = w.status, holder_id = w.holder_id, issued_to = w.issued_to
       from wrong w
       where v.id = w.id
       returning v.*
     ),
     kept as (
       update private.import_rows r set digest = %s from t where r.legacy_table = ''vouchers'' and r.id = t.id
     )
     select count(*) from wrong w where w.issued_to is not distinct from w.was',
    private.import_digest('vouchers', 't')
  ) into changed using import_voucher_states.vouchers;
  perform set_config('portal.import', '', true);
  return changed;
end;
$$;

comment on function private.import_voucher_states is
  'Lets status, holder and reservation of these imported vouchers follow from their bookings, where the legacy servers '
  'left them otherwise (private.import_wrong_vouchers). Returns how many have another status or holder by that. Others '
  'wait for these vouchers: give it few.';
