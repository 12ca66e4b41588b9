create function private.tg_fee_events__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.settlement_lines (settlement_id, fee_event_id, month)
  select
    n.settlement_id, n.id, date_trunc('month', coalesce(c.created_at, n.created_at) at time zone s.time_zone)::date
  from new_rows n
  join old_rows o on o.id = n.id and o.settlement_id is distinct from n.settlement_id
  cross join private.settings s
  left join public.fee_events c on c.id = coalesce(n.reverses, n.adjusts)
  where n.settlement_id is not null;

  perform private.check_settlement_totals(
    array(
      select o.settlement_id from old_rows o where o.settlement_id is not null
      union
      select n.settlement_id from new_rows n where n.settlement_id is not null
    )
  );
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
