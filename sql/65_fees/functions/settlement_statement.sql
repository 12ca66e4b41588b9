create function private.settlement_statement(
  settlement public.settlements,
  payer      uuid,
  after      uuid,
  max_rows   integer
)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  figures jsonb;
  payers  jsonb;
  parts   jsonb;
  others  jsonb;
  page    jsonb;
begin
  select jsonb_build_object(
    'fee_events', count(*),
    'total_cents', coalesce(sum(l.amount_cents), 0),
    'charged_cents', coalesce(sum(l.amount_cents) filter (where num_nonnulls(l.reverses, l.adjusts) = 0), 0),
    'reversed_cents', coalesce(sum(l.amount_cents) filter (where l.reverses is not null), 0),
    'adjusted_cents', coalesce(sum(l.amount_cents) filter (where l.adjusts is not null), 0)
  )
  into figures
  from private.statement_lines l
  where l.settlement_id = settlement.id and (payer is null or l.payer_id = payer);

  select jsonb_build_object('payers', coalesce(jsonb_agg(to_jsonb(p) order by p.payer_uid), '[]'))
  into payers
  from (
    select l.payer_uid, count(*) as fee_events, sum(l.amount_cents) as total_cents
    from private.statement_lines l
    where l.settlement_id = settlement.id and (payer is null or l.payer_id = payer)
    group by l.payer_uid
  ) p;

  select jsonb_build_object(
    'paid_cents', coalesce(sum(p.amount_cents), 0),
    'payments',
    coalesce(
      jsonb_agg(
        to_jsonb(p) || jsonb_build_object('payer_uid', private.uid_of(p.payer_id)) order by p.created_at, p.id
      ),
      '[]'
    )
  )
  into parts
  from public.settlement_payments p
  where p.settlement_id = settlement.id and (payer is null or p.payer_id = payer);

  select jsonb_build_object(
    'replaces', coalesce(jsonb_agg(o.named order by o.id) filter (where not o.is_later), '[]'),
    'replaced_by', coalesce(jsonb_agg(o.named order by o.id) filter (where o.is_later), '[]')
  )
  into others
  from (
    select distinct
      s.id,
      jsonb_build_object('id', s.id, 'number', s.number, 'status', s.status) as named,
      (s.created_at, s.id) > (settlement.created_at, settlement.id) as is_later
    from public.settlement_lines own
    join public.settlement_lines shared on shared.fee_event_id = own.fee_event_id
    join public.settlements s on s.id = shared.settlement_id
    where own.settlement_id = settlement.id and s.id <> settlement.id
  ) o;

  select jsonb_build_object('items', coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]'))
  into page
  from (
    select *
    from private.statement_lines l
    where l.settlement_id = settlement.id
      and (payer is null or l.payer_id = payer)
      and (settlement_statement.after is null or l.id > settlement_statement.after)
    order by l.id
    limit least(greatest(settlement_statement.max_rows, 1), 10000)
  ) l;

  return private.settlement_json(settlement) || figures || payers || parts || others || page;
end;
$$;

comment on function private.settlement_statement is
  'A settlement with its figures (fee_events, charged_cents, reversed_cents, adjusted_cents), payers (each with '
  'fee_events and total_cents), payments, the settlements with the same lines that it replaces or that replaced it '
  '(id, number, status), and, as items, its lines (private.statement_lines) ordered by id, which is the order of '
  'time: max_rows of them, from 1 to 10000, after the one with the id `after`. With payer only the lines and payments '
  'of this payer, and their sums as total_cents and paid_cents.';
