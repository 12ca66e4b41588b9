create function private.tg_vouchers__write_expire()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'expired' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'voucher.expire', new.issuer_id, 'voucher', new.id,
      jsonb_build_object('validUntil', private.iso(new.valid_until))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_vouchers__write_expire is
  'Writes the event voucher.expire. Its actor is the issuer, who set valid_until.';

create trigger tg_vouchers__write_expire
  after insert or update of status on public.vouchers
  for each row
  when (new.status = 'expired' and not private.is_import())
  execute function private.tg_vouchers__write_expire();
