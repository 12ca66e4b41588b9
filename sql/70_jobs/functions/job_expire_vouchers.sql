create function private.job_expire_vouchers()
returns bigint
language sql
set search_path = ''
as $$
  with expired as (
    update public.vouchers
    set status = 'expired'
    where id in (
      -- skips a voucher that is being booked; the next run checks it again
      select v.id from public.vouchers v where v.status = 'issued' and v.valid_until < now() for update skip locked
    )
    returning 1
  )
  select count(*) from expired
$$;

comment on function private.job_expire_vouchers is
  'Sets the status of issued vouchers to expired after valid_until. Returns their number.';
