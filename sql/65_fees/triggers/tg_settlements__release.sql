create function private.tg_settlements__release()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.fee_events e set settlement_id = null where e.settlement_id = new.id;
  return null;
end;
$$;

comment on function private.tg_settlements__release is
  'Releases the fee events of a voided settlement, so that they are due again.';

create trigger tg_settlements__release
  after update of status on public.settlements
  for each row
  when (new.status = 'voided')
  execute function private.tg_settlements__release();
