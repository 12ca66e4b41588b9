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
  most_events   constant bigint := 5000000;
  period        record;
  events        jsonb;
  invariants    jsonb;
  checked_until timestamptz;
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
    -- What was written until a day before the last run of check-invariants has its events, unless a later run failed:
    -- a day, because a transaction that the run did not see may have begun long before.
    select j.last_good_run_at - interval '1 day' into checked_until
    from private.job_facts j
    where j.name = 'check-invariants' and j.last_good_run_at > coalesce(j.last_error_at, '-infinity');

    with recent as materialized (
      select w.type, w.id, w.times from private.written_facts w where w.created_at > checked_until
    ),

    suspects as materialized (
      select changes.type, changes.id, sum(changes.times) as times
      from (
        select r.type, r.id, r.times, 0 as logged from recent r
        union all
        select e.type, e.subject_id, null, 1
        from public.events e
        where e.type not like 'presence.%' and e.created_at > checked_until
      ) changes
      group by changes.type, changes.id
      having sum(changes.times) <> sum(changes.logged)
    )
    select jsonb_agg(to_jsonb(i) order by i.name) into invariants
    from (
      select i.name, i.violations, i.meaning
      from stats.invariants i
      where i.name <> 'every_write_has_its_event' or checked_until is null
      union all
      -- for suspects alone the whole log is read, because a row may name a later time than that of its event
      select i.name, case when exists (select from suspects) then (
        select count(*)
        from (
          select
          from (
            select s.type, s.id, s.times, 0 as logged from suspects s
            union all
            select e.type, e.subject_id, null, 1
            from public.events e
            where e.type not like 'presence.%' and e.subject_id in (select s.id from suspects s)
          ) changes
          group by changes.type, changes.id
          having sum(changes.times) <> sum(changes.logged)
        ) wrong
      ) else 0 end, i.meaning
      from stats.invariants i
      where i.name = 'every_write_has_its_event' and checked_until is not null
    ) i;
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
