create function private.tg_settlements__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  created uuid[] := array(select n.id from new_rows n);
begin
  -- this trigger may be earlier than that of the fee events
  perform private.write_settlement_lines(created);
  perform private.check_settlement_totals(created);
  return null;
end;
$$;

comment on function private.tg_settlements__total is
  'After settlements were created: writes their lines, and checks that the total of each is the sum of the fee events '
  'that the same statement linked to it.';

create trigger tg_settlements__total
  after insert on public.settlements
  referencing new table as new_rows
  for each statement
  execute function private.tg_settlements__total();
