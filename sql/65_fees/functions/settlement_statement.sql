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
-- a payer's lines are few among those of all
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  sums   jsonb;
  parts  jsonb;
  others jsonb;
  page   jsonb;
begin
  -- each line is read once: all sums are those of the payers
  select jsonb_build_object(
    'fee_events', coalesce(sum(p.fee_events), 0),
    'total_cents', coalesce(sum(p.total_cents), 0),
    'charged_cents', coalesce(sum(p.charged_cents), 0),
    'reversed_cents', coalesce(sum(p.reversed_cents), 0),
    'adjusted_cents', coalesce(sum(p.adjusted_cents), 0),
    'payers', coalesce(
      jsonb_agg(
        jsonb_build_object('payer_uid', p.payer_uid, 'fee_events', p.fee_events, 'total_cents', p.total_cents)
        order by p.payer_uid collate "C"
      ),
      '[]'
    )
  )
  into sums
  from (
    select
      private.uid_of(e.payer_id) as payer_uid,
      count(*) as fee_events,
      sum(e.amount_cents) as total_cents,
      sum(e.amount_cents) filter (where e.reverses is null and e.adjusts is null) as charged_cents,
      sum(e.amount_cents) filter (where e.reverses is not null) as reversed_cents,
      sum(e.amount_cents) filter (where e.adjusts is not null) as adjusted_cents
    from public.settlement_lines l
    join public.fee_events e on e.id = l.fee_event_id
    where l.settlement_id = settlement.id and (payer is null or e.payer_id = payer)
    group by e.payer_id
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
    select
      s.id,
      jsonb_build_object('id', s.id, 'number', s.number, 'status', s.status) as named,
      (s.created_at, s.id) > (settlement.created_at, settlement.id) as is_later
    from public.settlements s
    where s.beneficiary_id = settlement.beneficiary_id
      and s.currency = settlement.currency
      and s.id <> settlement.id
      -- otherwise they have no line in common
      and 'voided' in (s.status, settlement.status)
      and exists (
        select from public.settlement_lines own
        join public.settlement_lines shared on shared.fee_event_id = own.fee_event_id
        join public.fee_events e on e.id = own.fee_event_id
        where own.settlement_id = settlement.id
          and shared.settlement_id = s.id
          and (payer is null or e.payer_id = payer)
      )
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

  if payer is not null and settlement.status = 'written_off' and (
    (sums ->> 'total_cents')::numeric <= (parts ->> 'paid_cents')::numeric
    or (
      -- a payment that names no payer may have paid it: that depends on the debts of all
      exists (select from public.settlement_payments p where p.settlement_id = settlement.id and p.payer_id is null)
      and not exists (
        select from private.receivable_facts r
        where r.settlement_id = settlement.id and r.payer_id = payer and r.cents > 0
      )
    )
  ) then
    -- words about the debt of another
    settlement.write_off_reason := null;
  end if;

  return private.settlement_json(settlement)
    || jsonb_build_object('decimals', private.currency_exponent(settlement.currency))
    || sums || parts || others || page;
end;
$$;

comment on function private.settlement_statement is
  'A settlement with the decimals of its currency and its figures (fee_events, charged_cents, reversed_cents, '
  'adjusted_cents), payers (each with fee_events and total_cents), payments, the settlements with the same lines that '
  'it replaces or that replaced it (id, number, status), and, as items, its lines (private.statement_lines) ordered by '
  'id, which is the order of time: max_rows of them, from 1 to 10000, after the one with the id `after`. With payer '
  'only the lines, payments and other settlements of this payer, and their sums as total_cents and paid_cents; and '
  'write_off_reason only if a part of its debt was given up.';
