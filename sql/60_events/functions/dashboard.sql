create function public.dashboard()
returns jsonb
language sql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
  select private.require_admin();

  with recent as (
    select
      e.created_at,
      coalesce(e.subject_type, 'unknown') as feature,
      e.type,
      e.type collate "C" ~* 'error|fail'
        or (e.type = 'voucher.cancel' and coalesce(e.meta ->> 'reason', '') collate "C" ~* 'error') as is_error,
      e.type collate "C" ~* 'fix|resolve' as is_fix,
      e.type collate "C" ~* 'critical|crash' as is_crash
    from public.events e
    where e.created_at > now() - interval '30 days'
  ),
  figures as (
    select
      count(*) as total,
      count(*) filter (where is_error) as errors,
      count(*) filter (where is_fix) as fixes,
      count(*) filter (where is_fix and created_at > now() - interval '7 days') as fixes_of_week,
      count(*) filter (where created_at > now() - interval '24 hours') as active,
      coalesce(100.0 * count(*) filter (where is_error) / nullif(count(*), 0), 0) as error_rate,
      coalesce(100.0 * count(*) filter (where is_crash) / nullif(count(*), 0), 0) as crash_rate
    from recent
  )
  select jsonb_build_object(
    'production_readiness', round(
      0.3 * least(100, active) + 0.4 * (100 - error_rate) + 0.3 * greatest(0, 100 - 2 * error_rate), 1
    ),
    'quality_score', round(100 - error_rate, 1),
    'system_stability', round(100 - crash_rate, 1),
    'activity_count', active,
    'production_timeline', (
      select jsonb_agg(
        jsonb_build_object(
          'date', to_char(day, 'YYYY-MM-DD'),
          'count', (select count(*) from recent r where (r.created_at at time zone 'UTC')::date = day::date)
        )
        order by day
      )
      from generate_series(
        (now() at time zone 'UTC')::date - 6, (now() at time zone 'UTC')::date, interval '1 day'
      ) as day
    ),
    'error_rate', round(error_rate, 2),
    'error_count', errors,
    'event_count', total,
    'top_errors', (
      select coalesce(
        jsonb_agg(jsonb_build_object('type', t.type, 'count', t.count) order by t.count desc, t.type), '[]'
      )
      from (
        select r.type, count(*) from recent r where r.is_error group by r.type order by 2 desc, 1 limit 10
      ) t
    ),
    'fix_rate', round(coalesce(100.0 * fixes / nullif(errors, 0), 0), 2),
    'fixes_per_week', fixes_of_week,
    'open_errors', greatest(0, errors - fixes),
    'features', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('name', f.feature, 'events', f.events, 'error_rate', round(f.error_rate, 2))
          order by f.events desc, f.feature
        ),
        '[]'
      )
      from (
        select r.feature, count(*) as events, 100.0 * count(*) filter (where r.is_error) / count(*) as error_rate
        from recent r
        group by r.feature
      ) f
    ),
    'recent_events', (
      select coalesce(jsonb_agg(private.event_json(e) order by e.created_at desc, e.id desc), '[]')
      from (select * from public.events order by created_at desc, id desc limit 20) e
    ),
    -- the state of WAL archiving, from which a server can be restored
    'backup', (
      select jsonb_build_object(
        'status', case
          when current_setting('archive_mode') = 'off' then 'off'
          when a.last_failed_time >= coalesce(a.last_archived_time, '-infinity') then 'failed'
          when a.last_archived_time is null then 'waiting'
          else 'ok'
        end,
        'last_backup_at', a.last_archived_time,
        'success_rate', round(coalesce(100.0 * a.archived_count / nullif(a.archived_count + a.failed_count, 0), 0), 2)
      )
      from pg_catalog.pg_stat_archiver a
    )
  )
  from figures
$$;

comment on function public.dashboard is
  'The figures of GET /api/admin/dashboard (docs/compatibility.md) over the events of the last 30 days; rates in '
  'percent, days in UTC. backup is the state of the server''s WAL archive (off, waiting, ok, failed), the time of the '
  'last archived file, and the percentage of successful attempts. '
  'Raises: query_too_large (400); not_an_admin (403).';

grant execute on function public.dashboard to service_role, authenticated;
