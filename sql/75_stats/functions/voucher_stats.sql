create function public.voucher_stats(from_day date default null, to_day date default null)
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
  days    jsonb;
  revenue jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(voucher_stats.from_day, voucher_stats.to_day);

  select
    jsonb_build_object(
      'bookings', coalesce(sum(d.bookings), 0),
      'cancellations', coalesce(sum(d.cancellations), 0),
      'days', coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
    )
  into days
  from stats.bookings_by_day d
  where d.day between period.from_day and period.to_day;

  with by_day as materialized (
    select * from stats.revenue_by_day r where r.day between period.from_day and period.to_day
  ),
  used as (
    select r.currency, r.decimals, sum(r.bookings) as bookings, sum(r.amount_cents) as amount_cents
    from by_day r
    group by r.currency, r.decimals
    order by bookings desc, r.currency
    limit 24
  )
  select jsonb_build_object(
    'revenue', (select coalesce(jsonb_agg(to_jsonb(u) order by u.bookings desc, u.currency), '[]') from used u),
    'revenue_days', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.day, r.currency), '[]')
      from by_day r
      where r.currency in (select u.currency from used u)
    )
  )
  into revenue;

  return period.header || days || revenue || jsonb_build_object(
    'vouchers', (
      select jsonb_object_agg(known.status, coalesce(v.vouchers, 0))
      from unnest(array['issued', 'booked', 'consumed', 'cancelled', 'expired']) as known (status)
      left join stats.vouchers_by_status v on v.status = known.status
    ),
    'templates', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.offered_minutes desc, t.template_id), '[]')
      from (
        select
          u.template_id, u.title, sum(u.offered_minutes) as offered_minutes, sum(u.booked_minutes) as booked_minutes,
          round(sum(u.booked_minutes) / nullif(sum(u.offered_minutes), 0), 4) as utilisation
        from stats.utilisation_by_day u
        where u.day between period.from_day and period.to_day
        group by u.template_id, u.title
      ) t
    )
  );
end;
$$;

comment on function public.voucher_stats is
  'The figures of vouchers and bookings for a period of days (private.stats_period): {from_day, to_day, time_zone, '
  'vouchers (current, by status), bookings, cancellations, days (stats.bookings_by_day), revenue and revenue_days '
  '(stats.revenue_by_day, the 24 most used currencies), templates (offered and booked minutes, and utilisation as a '
  'fraction: stats.utilisation_by_day)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.voucher_stats to authenticated, service_role;
