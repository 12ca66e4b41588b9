create function private.tg_transfers__write_logged()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'transfer.logged', new.thinker_id, 'transfer', new.id,
    jsonb_strip_nulls(jsonb_build_object('walletAddress', new.wallet_address, 'direction', new.direction))
  );
  return null;
end;
$$;

comment on function private.tg_transfers__write_logged is 'Writes the event transfer.logged.';

create trigger tg_transfers__write_logged
  after insert on public.transfers
  for each row
  when (not private.is_import())
  execute function private.tg_transfers__write_logged();
