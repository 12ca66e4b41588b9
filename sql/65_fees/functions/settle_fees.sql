create function public.settle_fees(period_from date, period_to date, dry_run boolean default false)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  settlements jsonb;
begin
  perform private.require_admin();
  -- within the years that clients can parse; not null or infinite
  if not coalesce(
    settle_fees.period_from >= '0001-01-01' and settle_fees.period_from < settle_fees.period_to
    and settle_fees.period_to < '10000-01-01',
    false
  ) then
    raise sqlstate 'PT400' using message = 'period_invalid';
  end if;

  if coalesce(settle_fees.dry_run, false) then
    select coalesce(jsonb_agg(to_jsonb(due) order by due.beneficiary_uid collate "C", due.currency), '[]')
    into settlements
    from (
      select
        null::uuid as id, e.beneficiary_id, private.uid_of(e.beneficiary_id) as beneficiary_uid,
        settle_fees.period_from, settle_fees.period_to, e.currency, sum(e.amount_cents) as total_cents,
        count(*) as fee_events, count(e.reverses) as reversals, count(e.adjusts) as adjustments
      from private.due_fee_events(settle_fees.period_to) e
      group by e.beneficiary_id, e.currency, e.part
    ) due;
    return settlements;
  end if;

  -- one settlement run at a time; bookings continue, because they do not use this table
  lock table public.settlements in share row exclusive mode;

  -- one statement, so that a settlement is exactly the sum of the fee events linked to it. Fee events that are
  -- committed later are left for the next run
  with due as materialized (
    select * from private.due_fee_events(settle_fees.period_to)
  ),
  new as materialized (
    select private.new_uuid() as id, d.beneficiary_id, d.currency, d.part
    from due d
    group by d.beneficiary_id, d.currency, d.part
  ),
  linked as (
    update public.fee_events e
    set settlement_id = n.id
    from due d
    join new n on (n.beneficiary_id, n.currency, n.part) = (d.beneficiary_id, d.currency, d.part)
    where e.id = d.id and e.settlement_id is null
    returning e.settlement_id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses, e.adjusts
  ),
  sums as (
    select
      l.settlement_id as id, l.beneficiary_id, l.currency,
      sum(l.amount_cents) as total_cents, count(*) as fee_events, count(l.reverses) as reversals,
      count(l.adjusts) as adjustments
    from linked l
    group by l.settlement_id, l.beneficiary_id, l.currency
  ),
  made as (
    insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency)
    select s.id, s.beneficiary_id, settle_fees.period_from, settle_fees.period_to, s.total_cents, s.currency
    from sums s
    returning *
  )
  select
    coalesce(
      jsonb_agg(
        private.settlement_json(m::public.settlements)
          || jsonb_build_object('fee_events', s.fee_events, 'reversals', s.reversals, 'adjustments', s.adjustments)
        order by private.uid_of(m.beneficiary_id) collate "C", m.currency
      ),
      '[]'
    )
  into settlements
  from made m
  join sums s on s.id = m.id;

  return settlements;
end;
$$;

comment on function public.settle_fees is
  'Settles every fee event that is in no settlement and was written before the end of the period: from period_from '
  'until (not including) period_to, days in the time zone of private.settings; and what has corrected these fee events '
  'since. Fee events left over from earlier '
  'periods (committed late, period missed or voided) are included; those of an invoiced period count in a later one, '
  'and the negative sum of a payer waits (private.due_fee_events). Creates one settlement per beneficiary and '
  'currency, with its lines, and returns them with their fee_events, reversals and adjustments (counts). With dry_run '
  'creates nothing, and returns what it would create, with id null. Running it twice or concurrently settles nothing '
  'twice. '
  'Raises: period_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.settle_fees to authenticated, service_role;
