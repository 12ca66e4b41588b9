create function private.make_event_partitions()
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '10s'
as $$
declare
  this_month constant timestamptz := date_trunc('month', now());
  horizon    constant timestamptz := this_month + interval '4 months';
  homeless   boolean;
  missing    timestamptz[];
  month      timestamptz;
begin
  -- whoever makes partitions at the same time is waited for
  perform pg_advisory_xact_lock(hashtextextended('make_event_partitions', 0));
  -- nobody else for long, because all others would queue behind this; and less than deadlock_timeout, so that of two who
  -- wait for each other it is this one that gives up
  perform set_config('lock_timeout', '500ms', true);

  if not exists (select from private.event_partitions() p where p.starts_at is null) then
    perform private.make_event_partition(null);
  end if;

  homeless := exists (select from private.events_default e where e.created_at < horizon);
  if homeless then
    -- thinkers first, as everybody who makes a thinker and writes its event
    lock table public.thinkers in share row exclusive mode;
    lock table only public.events in access exclusive mode;
  end if;

  select array_agg(m.month order by m.month) into missing
  from (
    select distinct date_trunc('month', e.created_at) as month from private.events_default e where e.created_at < horizon
    union
    select generate_series(this_month, horizon - interval '1 month', interval '1 month')
  ) m
  where not exists (select from private.event_partitions() p where m.month >= p.starts_at and m.month < p.ends_at);

  if missing is null then
    return;
  end if;

  if homeless then
    -- no row of a log is deleted, not to be moved either: its table goes, and it is written again
    create temporary table homeless_events as select * from private.events_default;
    drop table private.events_default;
    perform private.make_event_partition(null);
  else
    -- as above; every foreign key to a table takes this lock
    lock table public.thinkers in share row exclusive mode;
  end if;

  foreach month in array missing loop
    perform private.make_event_partition(month);
  end loop;

  if homeless then
    execute format('insert into public.events select * from %s', to_regclass('pg_temp.homeless_events'));
    execute format('drop table %s', to_regclass('pg_temp.homeless_events'));
  end if;
end;
$$;

comment on function private.make_event_partitions is
  'Makes the partitions of public.events that are missing: one for each month (UTC) from now to three months ahead, one for '
  'each past month of which there are events in the default partition, which move there, and the default one for all '
  'others. To be run now and then; who runs it twice, or beside another, has them once. Gives up (lock_timeout) '
  'where it would wait more than half a second, as behind a long query: run it again later.';

select private.make_event_partitions();
