create function private.tg_settlements__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- this trigger may be earlier than that of the fee events
  perform private.write_settlement_lines(array[new.id]);
  perform private.check_settlement_totals(array[new.id]);
  return null;
end;
$$;

comment on function private.tg_settlements__total is
  'After a settlement was created: writes its lines, and checks that its total is the sum of the fee events that the '
  'same statement linked to it.';

create trigger tg_settlements__total
  after insert on public.settlements
  for each row
  execute function private.tg_settlements__total();
