create function private.tg_transfers__touch()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- the clock, not the transaction's beginning, which may be before the row's
  new.updated_at := greatest(new.created_at, clock_timestamp());
  return new;
end;
$$;

comment on function private.tg_transfers__touch is 'Says in updated_at when a transfer was changed, by hand too.';

create trigger tg_transfers__touch
  before update on public.transfers
  for each row
  execute function private.tg_transfers__touch();
