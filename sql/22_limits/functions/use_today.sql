create function private.use_today(
  vouchers         integer default 0,
  bookings         integer default 0,
  applications     integer default 0,
  transfers        integer default 0,
  new_thinkers     integer default 0,
  presence_changes integer default 0,
  telemetry_events integer default 0,
  telemetry_types  text[]  default '{}',
  bytes            bigint  default 0
)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  lock    constant text := 'use_today:';
  counts  constant integer := use_today.vouchers + use_today.transfers + use_today.presence_changes;
  -- what only one call at a time may write
  alone   boolean := counts > 1 or use_today.bytes > 65536 or counts + use_today.bytes = 0
    or use_today.bookings + use_today.applications + use_today.new_thinkers + use_today.telemetry_events > 0;
  owner   uuid;
  parts   integer;
  free    integer := 0;
  is_far  boolean;
  reached text;
begin
  select (private.same_session(t.id))[1] into owner from public.thinkers t where t.id = auth.uid();
  if not found then
    return;
  end if;

  if not alone then
    -- so far from every limit that one call on each connection does not reach it: such calls write different rows,
    -- because one that waits would wait for the disk, too
    select
      d.parts, d.is_far,
      case when d.is_far then (
        select u.part from private.daily_use u where u.thinker_id = owner limit 1 for no key update skip locked
      ) end
    into parts, is_far, free
    from (
      select
        t.parts,
        t.counts + t.calls <= case
          when use_today.vouchers > 0 then s.vouchers_a_day
          when use_today.transfers > 0 then s.transfers_a_day
          when use_today.presence_changes > 0 then s.presence_changes_a_day
          else 2147483647
        end
        and t.bytes + t.calls * 65536 <= s.bytes_a_day as is_far
      from (
        select
          count(*) as parts,
          -- more than any of them
          coalesce(sum(u.vouchers + u.transfers + u.presence_changes) filter (where u.day = current_date), 0) as counts,
          coalesce(sum(u.bytes) filter (where u.day = current_date), 0) as bytes,
          current_setting('max_connections')::bigint as calls
        from private.daily_use u
        where u.thinker_id = owner
      ) t
      cross join private.settings s
    ) d;

    if is_far and free is null then
      if parts > 0 then
        -- one row more than there were calls at once
        perform pg_advisory_xact_lock(private.lock_number(lock || owner));
        select count(*) into parts from private.daily_use u where u.thinker_id = owner;
      end if;
      free := parts;
    end if;
    alone := not is_far;
  end if;

  if alone then
    perform pg_advisory_xact_lock(private.lock_number(lock || owner));
    free := 0;
  end if;

  insert into private.daily_use as u
  values (
    owner, free, current_date, use_today.vouchers, use_today.bookings,
    use_today.applications, use_today.transfers, use_today.new_thinkers,
    use_today.presence_changes, use_today.telemetry_events, use_today.telemetry_types, use_today.bytes
  )
  on conflict (thinker_id, part) do update
  set day = excluded.day,
      vouchers = excluded.vouchers + case when u.day = excluded.day then u.vouchers else 0 end,
      bookings = excluded.bookings + case when u.day = excluded.day then u.bookings else 0 end,
      applications = excluded.applications + case when u.day = excluded.day then u.applications else 0 end,
      transfers = excluded.transfers + case when u.day = excluded.day then u.transfers else 0 end,
      new_thinkers = excluded.new_thinkers + case when u.day = excluded.day then u.new_thinkers else 0 end,
      presence_changes =
        excluded.presence_changes + case when u.day = excluded.day then u.presence_changes else 0 end,
      telemetry_events =
        excluded.telemetry_events + case when u.day = excluded.day then u.telemetry_events else 0 end,
      bytes = excluded.bytes + case when u.day = excluded.day then u.bytes else 0 end,
      telemetry_types = case
        when u.day <> excluded.day then excluded.telemetry_types
        when excluded.telemetry_types <@ u.telemetry_types then u.telemetry_types
        else array(select unnest(u.telemetry_types) union select unnest(excluded.telemetry_types))
      end;
  if not alone then
    return;
  end if;

  -- waits for the calls that write other rows, and counts what they wrote
  select case
    when use_today.vouchers > 0 and sum(u.vouchers) > s.vouchers_a_day then 'vouchers'
    when use_today.bookings > 0 and sum(u.bookings) > s.bookings_a_day then 'bookings'
    when use_today.applications > 0 and sum(u.applications) > s.applications_a_day then 'mortgage applications'
    when use_today.transfers > 0 and sum(u.transfers) > s.transfers_a_day then 'transfers'
    when use_today.new_thinkers > 0 and sum(u.new_thinkers) > s.new_thinkers_a_day then 'new thinkers'
    when use_today.presence_changes > 0 and sum(u.presence_changes) > s.presence_changes_a_day
      then 'changes of presence'
    when use_today.telemetry_events > 0 and sum(u.telemetry_events) > s.telemetry_a_day then 'telemetry'
    when use_today.telemetry_events > 0 and max(cardinality(u.telemetry_types)) > s.telemetry_types_a_day
      then 'types of telemetry'
    when use_today.bytes > 0 and sum(u.bytes) > s.bytes_a_day then 'bytes'
  end
  into reached
  from private.settings s
  cross join (
    select * from private.daily_use o where o.thinker_id = owner order by o.part for no key update
  ) u
  where u.day = current_date
  group by s.only_row;
  if reached is not null then
    raise sqlstate 'PT429' using message = 'daily_limit_reached', detail = reached;
  end if;
end;
$$;

comment on function private.use_today is
  'Adds to what the acting thinker has written today (UTC), and refuses what is above the limits in private.settings; '
  'telemetry_types are the types of the events. The thinkers of a browser session share the limits. A trusted server '
  'that acts for no thinker has no limits. A call with nothing to add, or near a limit, waits for the '
  'thinker''s other calls and lets none begin until the end of its transaction: call it before what others may have to '
  'wait for is locked. Others wait for nothing; a limit is passed only if some of them, at most one a connection, '
  'pause while all the rest of the day''s limit is written. '
  'daily_limit_reached has what is limited as detail. '
  'Raises: daily_limit_reached (429).';
