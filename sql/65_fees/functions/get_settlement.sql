create function public.get_settlement(settlement_id uuid, after uuid default null, max_rows integer default 1000)
returns jsonb
language plpgsql
stable
set search_path = ''
set statement_timeout = '10s'
as $$
declare
  settlement public.settlements;
  figures    jsonb;
  page       jsonb;
begin
  perform private.require_admin();
  select * into settlement from public.settlements s where s.id = get_settlement.settlement_id;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;

  select jsonb_build_object(
    'fee_events', count(*),
    'charged_cents', coalesce(sum(e.amount_cents) filter (where e.reverses is null), 0),
    'reversed_cents', coalesce(sum(e.amount_cents) filter (where e.reverses is not null), 0)
  )
  into figures
  from public.fee_events e
  where e.settlement_id = settlement.id;

  -- unrounded as text, because most JSON parsers read numbers as doubles, which have fewer digits
  select coalesce(
    jsonb_agg(to_jsonb(e) || jsonb_build_object('unrounded', trim_scale(e.unrounded)::text) order by e.id), '[]'
  )
  into page
  from (
    select *
    from public.fee_events e
    where e.settlement_id = settlement.id and (get_settlement.after is null or e.id > get_settlement.after)
    order by e.id
    limit least(greatest(get_settlement.max_rows, 1), 10000)
  ) e;

  return private.settlement_json(settlement) || figures || jsonb_build_object('items', page);
end;
$$;

comment on function public.get_settlement is
  'One settlement with its figures (fee_events, charged_cents, reversed_cents) and, as items, its fee events ordered '
  'by id, which is the order of time: max_rows of them, from 1 to 10000, after the one with the id `after`. unrounded '
  'is a text with all digits. A voided settlement has no items. '
  'Raises: not_an_admin (403); settlement_not_found (404).';

grant execute on function public.get_settlement to service_role, authenticated;
