create function public.fee_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
declare
  period  record;
  charged jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(fee_stats.from_day, fee_stats.to_day);

  with by_day as materialized (
    select * from stats.fees_by_day f where f.day between period.from_day and period.to_day
  ),
  used as (
    select f.currency from by_day f group by f.currency order by sum(f.fee_events) desc, f.currency limit 24
  )
  select jsonb_build_object(
    'charged', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.beneficiary_uid, c.currency), '[]')
      from (
        select
          f.beneficiary_uid, f.currency, f.decimals, sum(f.fee_events) as fee_events,
          sum(f.accrued_cents) as accrued_cents, sum(f.settled_cents) as settled_cents, sum(f.open_cents) as open_cents
        from by_day f
        group by f.beneficiary_uid, f.currency, f.decimals
        order by fee_events desc, f.beneficiary_uid, f.currency
        limit 100
      ) c
    ),
    'fees', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.fee_id, c.currency), '[]')
      from (
        select f.fee_id, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.accrued_cents) as amount_cents
        from by_day f
        group by f.fee_id, f.currency, f.decimals
        order by fee_events desc, f.fee_id, f.currency
        limit 100
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.day, c.currency), '[]')
      from (
        select
          f.day, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.charged_cents) as charged_cents,
          sum(f.reversed_cents) as reversed_cents, sum(f.adjusted_cents) as adjusted_cents,
          sum(f.accrued_cents) as accrued_cents
        from by_day f
        where f.currency in (select u.currency from used u)
        group by f.day, f.currency, f.decimals
      ) c
    )
  )
  into charged;

  return period.header || charged || jsonb_build_object(
    'owed', (
      select coalesce(jsonb_agg(to_jsonb(o) order by o.owed_cents desc, o.beneficiary_uid, o.currency), '[]')
      -- without a limit: only an operator adds beneficiaries and currencies
      from stats.owed o
    ),
    'receivables', (
      select
        coalesce(
          jsonb_agg(
            to_jsonb(r) order by r.overdue_cents desc, r.owed_cents desc, r.payer_uid, r.beneficiary_uid, r.currency
          ),
          '[]'
        )
      from (
        select *
        from stats.receivables r
        order by r.overdue_cents desc, r.owed_cents desc, r.payer_uid, r.beneficiary_uid, r.currency
        limit 100
      ) r
    )
  );
end;
$$;

comment on function public.fee_stats is
  'The figures of fees and settlements for a period of days (private.stats_period): {from_day, to_day, time_zone, '
  'owed (current: stats.owed), charged (by beneficiary and currency: accrued, settled, open), fees (by fee and '
  'currency), days (by currency)}; at most 100 rows of charged and of fees, and days of the 24 most used currencies. '
  'Amounts are in the currency''s minor unit. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.fee_stats to authenticated, service_role;
