create function private.check_settlement_totals(settlements uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  wrong uuid;
begin
  -- concurrent changes of a settlement's fee events wait here, and then see each other's result
  perform
  from public.settlements s
  where s.id = any (check_settlement_totals.settlements)
  order by s.id
  for no key update;

  select s.id into wrong
  from public.settlements s
  left join (
    select
      l.settlement_id,
      sum(e.amount_cents) as total,
      count(*) filter (where e.settlement_id = l.settlement_id) as linked,
      count(*) as lines
    from public.settlement_lines l
    join public.fee_events e on e.id = l.fee_event_id
    where l.settlement_id = any (check_settlement_totals.settlements)
    group by l.settlement_id
  ) l on l.settlement_id = s.id
  where s.id = any (check_settlement_totals.settlements)
    and (
      s.total_cents <> coalesce(l.total, 0)
      or l.linked <> case s.status when 'voided' then 0 else l.lines end
    )
  limit 1;

  if found then
    raise check_violation using
      constraint = 'total_is_the_sum_of_its_fee_events',
      message = format('settlement %s violates constraint "total_is_the_sum_of_its_fee_events"', wrong);
  end if;
end;
$$;

comment on function private.check_settlement_totals is
  'Raises check_violation unless the total of each of these settlements equals the sum of its lines, and each line''s '
  'fee event is linked to it; those of a voided settlement must be released.';
