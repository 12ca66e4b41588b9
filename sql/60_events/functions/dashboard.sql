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

  -- counted once by day and type: the log is large, and has few types
  with counted as (
    select
      coalesce(e.subject_type, 'unknown') as feature,
      e.type,
      e.type = 'voucher.cancel' and coalesce(e.meta ->> 'reason', '') collate "C" ~* 'error' as is_failed_cancel,
      (e.created_at at time zone 'UTC')::date as day,
      count(*) as events,
      count(*) filter (where e.created_at > now() - interval '7 days') as of_week,
      count(*) filter (where e.created_at > now() - interval '24 hours') as of_day
    from public.events e
    where e.created_at > now() - interval '30 days'
    group by 1, 2, 3, 4
  ),
  recent as materialized (
    select
      c.*,
      c.type collate "C" ~* 'error|fail' or c.is_failed_cancel as is_error,
      c.type collate "C" ~* 'fix|resolve' as is_fix,
      c.type collate "C" ~* 'critical|crash' as is_crash
    from counted c
  ),
  sums as (
    select
      coalesce(sum(events), 0) as total,
      coalesce(sum(events) filter (where is_error), 0) as errors,
      coalesce(sum(events) filter (where is_fix), 0) as fixes,
      coalesce(sum(of_week) filter (where is_fix), 0) as fixes_of_week,
      coalesce(sum(of_day), 0) as active,
      coalesce(sum(events) filter (where is_crash), 0) as crashes
    from recent
  ),
  figures as (
    select
      s.*,
      coalesce(100.0 * errors / nullif(total, 0), 0) as error_rate,
      coalesce(100.0 * crashes / nullif(total, 0), 0) as crash_rate
    from sums s
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
          'count', (select coalesce(sum(r.events), 0) from recent r where r.day = day.day::date)
        )
        order by day
      )
      from generate_series(
        (now() at time zone 'UTC')::date - 6, (now() at time zone 'UTC')::date, interval '1 day'
      ) as day (day)
    ),
    'error_rate', round(error_rate, 2),
    'error_count', errors,
    'event_count', total,
    'top_errors', (
      select coalesce(
        jsonb_agg(jsonb_build_object('type', t.type, 'count', t.count) order by t.count desc, t.type), '[]'
      )
      from (
        select r.type, sum(r.events) as count from recent r where r.is_error group by r.type order by 2 desc, 1 limit 10
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
        select
          r.feature,
          sum(r.events) as events,
          100.0 * coalesce(sum(r.events) filter (where r.is_error), 0) / sum(r.events) as error_rate
        from recent r
        group by r.feature
        -- imported events may have any
        order by 2 desc, 1
        limit 100
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
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.dashboard to service_role, authenticated;
