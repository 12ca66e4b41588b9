create function private.job_expire_vouchers()
returns bigint
language sql
set search_path = ''
as $$
  with expired as (
    update public.vouchers
    set status = 'expired'
    where id in (
      -- one that is just being booked can wait for the next run
      select v.id from public.vouchers v where v.status = 'issued' and v.valid_until < now() for update skip locked
    )
    returning 1
  )
  select count(*) from expired
$$;

comment on function private.job_expire_vouchers is
  'Lets vouchers expire that nobody booked while they were valid. Returns how many.';
