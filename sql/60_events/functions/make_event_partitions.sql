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
  -- a partition for each of thousands of months would need more locks than a server has
  oldest     constant timestamptz := this_month - interval '20 years';
  unplaced   boolean;
  missing    timestamptz[];
  month      timestamptz;
begin
  -- wait for concurrent calls of this function
  perform pg_advisory_xact_lock(private.lock_number('make_event_partitions'));
  -- do not wait long for other locks, because other sessions would queue behind this one; less than deadlock_timeout,
  -- so that in a deadlock this session gives up
  perform set_config('lock_timeout', '500ms', true);

  if not exists (select from private.event_partitions() p where p.starts_at is null) then
    perform private.make_event_partition(null);
  end if;

  -- without a partition for now, an event may come at any time
  unplaced := exists (select from private.events_default e where e.created_at >= oldest and e.created_at < horizon)
    or not exists (select from private.event_partitions() p where now() >= p.starts_at and now() < p.ends_at);
  if unplaced then
    -- thinkers first, the order in which a new thinker and its event are written
    lock table public.thinkers in share row exclusive mode;
    lock table only public.events in access exclusive mode;
  end if;

  select array_agg(m.month order by m.month) into missing
  from (
    select distinct date_trunc('month', e.created_at) as month
    from private.events_default e
    -- without the locks, other sessions may write such events until the partitions are attached
    where unplaced and e.created_at >= oldest and e.created_at < horizon
    union
    select generate_series(this_month, horizon - interval '1 month', interval '1 month')
  ) m
  where not exists (select from private.event_partitions() p where m.month >= p.starts_at and m.month < p.ends_at);

  if missing is null then
    return;
  end if;

  if unplaced then
    -- rows of the log cannot be deleted: drop the default partition, and insert its events again
    create temporary table unplaced_events as select * from private.events_default;
    drop table private.events_default;
    perform private.make_event_partition(null);
  else
    -- in the same order; creating a partition with a foreign key to thinkers takes this lock
    lock table public.thinkers in share row exclusive mode;
  end if;

  foreach month in array missing loop
    perform private.make_event_partition(month);
  end loop;

  if unplaced then
    execute format('insert into public.events select * from %s', to_regclass('pg_temp.unplaced_events'));
    execute format('drop table %s', to_regclass('pg_temp.unplaced_events'));
  end if;
end;
$$;

comment on function private.make_event_partitions is
  'Creates the missing partitions of public.events: one for each month (UTC) from now to three months ahead, one for '
  'each month of the past twenty years with events in the default partition, which are moved, and the default '
  'partition. Running it twice or concurrently is safe. Fails with lock_not_available (lock_timeout) instead of '
  'waiting longer than half a second, for example behind a long query; run it again later. '
  'Raises: append_only (403).';

select private.make_event_partitions();
