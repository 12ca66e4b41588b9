create function private.tg_transfers__touch()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- clock_timestamp(), because the transaction may have started before the row was created
  new.updated_at := greatest(new.created_at, clock_timestamp());
  return new;
end;
$$;

comment on function private.tg_transfers__touch is 'Sets updated_at whenever a transfer is changed, also by hand.';

create trigger tg_transfers__touch
  before update on public.transfers
  for each row
  execute function private.tg_transfers__touch();
