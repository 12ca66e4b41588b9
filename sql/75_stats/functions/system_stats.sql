create function public.system_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
-- the invariants would use temporary files with less
set work_mem = '64MB'
set statement_timeout = '10s'
as $$
declare
  most_events constant bigint := 5000000;
  period      record;
  events      jsonb;
  invariants  jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(system_stats.from_day, system_stats.to_day);

  with by_day as materialized (
    select * from stats.events_by_day e where e.day between period.from_day and period.to_day
  )
  select jsonb_build_object(
    'types', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.events desc, t.type), '[]')
      from (
        select e.type, sum(e.events) as events from by_day e group by e.type order by events desc, e.type limit 100
      ) t
    ),
    'days', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('day', r.day, 'events', coalesce(e.events, 0), 'errors', r.errors) order by r.day
        ),
        '[]'
      )
      from stats.errors_by_day r
      left join (select e.day, sum(e.events) as events from by_day e group by e.day) e on e.day = r.day
      where r.day between period.from_day and period.to_day
    )
  )
  into events;

  -- the invariants read every table completely: with a large log only the job check-invariants computes them
  if most_events > (
    select coalesce(sum(c.reltuples), 0)
    from pg_catalog.pg_inherits p
    join pg_catalog.pg_class c on c.oid = p.inhrelid
    where p.inhparent = 'public.events'::regclass
  ) then
    select jsonb_agg(to_jsonb(i) order by i.name) into invariants from stats.invariants i;
  end if;

  return period.header || events || jsonb_build_object(
    'clock', exists (select from stats.jobs j where j.run_by <> 'nobody'),
    'jobs', (select coalesce(jsonb_agg(to_jsonb(j) order by j.name), '[]') from stats.jobs j),
    'invariants', invariants
  );
end;
$$;

comment on function public.system_stats is
  'The figures of the system for a period of days (private.stats_period): {from_day, to_day, time_zone, types (events '
  'by type, the 100 most frequent), days (events, and errors that pages reported), clock (whether pg_cron or a '
  'server runs jobs), jobs (stats.jobs), invariants (stats.invariants; null if there are more than five million '
  'events, because every table is read completely: the job check-invariants checks them daily)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.system_stats to authenticated, service_role;
