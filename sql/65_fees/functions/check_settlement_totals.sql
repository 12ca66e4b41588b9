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
  left join lateral (
    select sum(e.amount_cents) as total, count(*) as events from public.fee_events e where e.settlement_id = s.id
  ) linked on true
  where s.id = any (check_settlement_totals.settlements)
    and case s.status when 'voided' then linked.events > 0 else s.total_cents <> coalesce(linked.total, 0) end
  limit 1;

  if found then
    raise check_violation using
      constraint = 'total_is_the_sum_of_its_fee_events',
      message = format('settlement %s violates constraint "total_is_the_sum_of_its_fee_events"', wrong);
  end if;
end;
$$;

comment on function private.check_settlement_totals is
  'Raises check_violation unless the total of each of these settlements equals the sum of its fee events; a voided '
  'settlement must have none.';
