create function public.telbank_stats(from_day date default null, to_day date default null)
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
  period record;
  flows  jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(telbank_stats.from_day, telbank_stats.to_day);

  with by_day as materialized (
    select * from stats.transfers_by_day t where t.day between period.from_day and period.to_day
  ),
  flows as (
    select
      t.network, t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
      sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
    from by_day t
    group by t.network, t.currency, t.decimals
    order by transfers desc, t.currency, t.network
    limit 24
  )
  select jsonb_build_object(
    'totals', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.transfers desc, s.currency), '[]')
      from (
        select
          t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
          sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
        from by_day t
        group by t.currency, t.decimals
        order by transfers desc, t.currency
        limit 24
      ) s
    ),
    'flows', (
      select coalesce(jsonb_agg(to_jsonb(f) order by f.transfers desc, f.currency, f.network), '[]')
      from flows f
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.day, t.currency, t.network), '[]')
      from by_day t
      where exists (select from flows f where (f.network, f.currency) is not distinct from (t.network, t.currency))
    )
  )
  into flows;

  return period.header || flows;
end;
$$;

comment on function public.telbank_stats is
  'The figures of transfers for a period of days (private.stats_period): {from_day, to_day, time_zone, totals (by '
  'currency), flows (by network and currency), days (stats.transfers_by_day, for the networks and currencies in '
  'flows)}; at most the 24 most used of each. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.telbank_stats to authenticated, service_role;
