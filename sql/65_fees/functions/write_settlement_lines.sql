create function private.write_settlement_lines(settlements uuid[])
returns void
language sql
volatile
set search_path = ''
-- planned without knowing the settlements, which may have few of the fee events
set enable_seqscan = off
set jit = off
as $$
  insert into public.settlement_lines (settlement_id, fee_event_id, month)
  select
    e.settlement_id,
    e.id,
    date_trunc(
      'month',
      coalesce(
        -- no join, which could read all fee events
        (select c.created_at from public.fee_events c where c.id = coalesce(e.reverses, e.adjusts)), e.created_at
      ) at time zone s.time_zone
    )::date
  from public.fee_events e
  cross join private.settings s
  where e.settlement_id = any (write_settlement_lines.settlements)
  on conflict do nothing
$$;

comment on function private.write_settlement_lines is
  'Writes the lines of these settlements, one for each fee event that is linked to them. Existing lines stay.';
