create function private.tg_contracts__write_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'contract.upload', new.created_by, 'contract', new.id,
    jsonb_build_object('voucherId', l.voucher_id, 'roomId', l.room_id, 'storageUrl', new.storage_url)
  from (select) as one
  left join public.contract_links l on l.contract_id = new.id
  order by l.created_at, l.id
  limit 1;
  return null;
end;
$$;

comment on function private.tg_contracts__write_upload is 'Writes the event contract.upload.';

create trigger tg_contracts__write_upload
  after insert on public.contracts
  for each row
  when (not private.is_import())
  execute function private.tg_contracts__write_upload();
