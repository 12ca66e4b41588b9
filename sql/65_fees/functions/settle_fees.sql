create function public.settle_fees(period_from date, period_to date, dry_run boolean default false)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  period_end  timestamptz;
  settlements jsonb;
begin
  perform private.require_admin();
  -- in years that clients can read; a null or infinite date is in none
  if not coalesce(
    settle_fees.period_from >= '0001-01-01' and settle_fees.period_from < settle_fees.period_to
    and settle_fees.period_to < '10000-01-01',
    false
  ) then
    raise sqlstate 'PT400' using message = 'period_invalid';
  end if;
  select settle_fees.period_to::timestamp at time zone s.time_zone into period_end from private.settings s;

  if coalesce(settle_fees.dry_run, false) then
    select coalesce(jsonb_agg(to_jsonb(due) order by due.beneficiary_uid, due.currency), '[]') into settlements
    from (
      select
        null::uuid as id, e.beneficiary_id, private.uid_of(e.beneficiary_id) as beneficiary_uid,
        settle_fees.period_from, settle_fees.period_to, e.currency, sum(e.amount_cents) as total_cents,
        count(*) as fee_events, count(e.reverses) as reversals
      from private.due_fee_events(period_end) e
      group by e.beneficiary_id, e.currency, e.part
    ) due;
    return settlements;
  end if;

  -- one after the other; bookings go on, because they never look at settlements
  lock table public.settlements in share row exclusive mode;

  -- one statement, so that a settlement is the sum of exactly those fee events that were linked to it. What commits
  -- later is not seen here, and left for the next time
  with due as materialized (
    select * from private.due_fee_events(period_end)
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
    returning e.settlement_id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses
  ),
  sums as (
    select
      l.settlement_id as id, l.beneficiary_id, l.currency,
      sum(l.amount_cents) as total_cents, count(*) as fee_events, count(l.reverses) as reversals
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
          || jsonb_build_object('fee_events', s.fee_events, 'reversals', s.reversals)
        order by private.uid_of(m.beneficiary_id), m.currency
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
  'Settles every fee event that is in no settlement and was written before the period''s end: period_from until (not including) '
  'period_to, days in the time zone of private.settings. What an earlier period left, because it was committed late or that '
  'period was missed or voided, is settled with it. Writes one settlement a beneficiary and currency, and returns them with their '
  'fee_events and reversals (counts); with dry_run writes nothing, and returns what it would settle, with a null id. Run again, or '
  'by two at once, nothing is settled twice. Refuses: period_invalid (400), not_an_admin (403).';

grant execute on function public.settle_fees to authenticated, service_role;
