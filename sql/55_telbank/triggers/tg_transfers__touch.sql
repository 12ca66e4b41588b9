create function private.tg_transfers__touch()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- clock_timestamp(), because the transaction may have started before the row was created; not before created_at,
  -- because the clock may have been set back since then
  new.updated_at := greatest(new.created_at, clock_timestamp());
  return new;
end;
$$;

comment on function private.tg_transfers__touch is
  'Sets updated_at whenever a transfer is changed, also by hand. A new transfer is updated at the earliest at its '
  'creation.';

create trigger tg_transfers__touch
  before update on public.transfers
  for each row
  when (not private.is_import())
  execute function private.tg_transfers__touch();

create trigger tg_transfers__touch_new
  before insert on public.transfers
  for each row
  when (new.updated_at < new.created_at)
  execute function private.tg_transfers__touch();
