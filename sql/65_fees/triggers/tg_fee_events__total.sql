create function private.tg_fee_events__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  changed uuid[] := array(
    select o.settlement_id from old_rows o where o.settlement_id is not null
    union
    select n.settlement_id from new_rows n where n.settlement_id is not null
  );
begin
  perform private.write_settlement_lines(changed);
  perform private.check_settlement_totals(changed);
  return null;
end;
$$;

comment on function private.tg_fee_events__total is
  'After fee events were linked to a settlement: writes the lines of the settlement. After they were linked or '
  'released: checks that its total is their sum.';

create trigger tg_fee_events__total
  after update on public.fee_events
  referencing old table as old_rows new table as new_rows
  for each statement
  execute function private.tg_fee_events__total();
