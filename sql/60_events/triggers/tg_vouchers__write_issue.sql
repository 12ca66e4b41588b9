create function private.tg_vouchers__write_issue()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.issue', new.issuer_id, 'voucher', new.id,
    jsonb_build_object('serviceType', new.service_type)
  );
  return null;
end;
$$;

comment on function private.tg_vouchers__write_issue is 'Writes the event voucher.issue.';

create trigger tg_vouchers__write_issue
  after insert on public.vouchers
  for each row
  when (not private.is_import())
  execute function private.tg_vouchers__write_issue();
