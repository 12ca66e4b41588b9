create function public.mortgage_stats(from_day date default null, to_day date default null)
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
  offers jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(mortgage_stats.from_day, mortgage_stats.to_day);

  select jsonb_build_object(
    'offers', jsonb_build_object(
      'open', coalesce(sum(o.offers) filter (where o.status = 'open'), 0),
      'accepted', coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0),
      'withdrawn', coalesce(sum(o.offers) filter (where o.status = 'withdrawn'), 0)
    ),
    'acceptance_rate', round(
      coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0) / nullif(sum(o.offers), 0), 4
    ),
    'interest', jsonb_build_object(
      'offers', coalesce(sum(o.rates), 0),
      'average', round(sum(o.rates_total) / nullif(sum(o.rates), 0), 6),
      'minimum', min(o.lowest_rate),
      'maximum', max(o.highest_rate)
    )
  )
  into offers
  from stats.offers_by_day o
  where o.day between period.from_day and period.to_day;

  return period.header || offers || jsonb_build_object(
    'applications', (
      select jsonb_object_agg(known.status, coalesce(a.applications, 0))
      from unnest(array['open', 'offered', 'accepted', 'rejected']) as known (status)
      left join stats.applications_by_status a on a.status = known.status
    ),
    'requested', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.applications desc, r.currency), '[]')
      from (
        select r.currency, r.decimals, sum(r.applications) as applications, sum(r.amount_cents) as amount_cents
        from stats.requested_by_day r
        where r.day between period.from_day and period.to_day
        group by r.currency, r.decimals
        order by applications desc, r.currency
        limit 24
      ) r
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.mortgages_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.mortgage_stats is
  'The figures of mortgages for a period of days (private.stats_period): {from_day, to_day, time_zone, applications '
  '(current, by status), offers (made in the period, by status), acceptance_rate (the accepted fraction of them), '
  'interest (fractions a year), requested (the 24 most used currencies), days (stats.mortgages_by_day)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.mortgage_stats to authenticated, service_role;
