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
as $$
declare
  most    private.settings;
  used    private.daily_use;
  reached text;
begin
  if private.known_actor() is null then
    return;
  end if;

  insert into private.daily_use as u
  values (
    (private.same_session(auth.uid()))[1], current_date, use_today.vouchers, use_today.bookings,
    use_today.applications, use_today.transfers, use_today.new_thinkers,
    use_today.presence_changes, use_today.telemetry_events, use_today.telemetry_types, use_today.bytes
  )
  on conflict (thinker_id) do update
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
      end
  returning * into used;

  select * into most from private.settings;
  reached := case
    when use_today.vouchers > 0 and used.vouchers > most.vouchers_a_day then 'vouchers'
    when use_today.bookings > 0 and used.bookings > most.bookings_a_day then 'bookings'
    when use_today.applications > 0 and used.applications > most.applications_a_day then 'mortgage applications'
    when use_today.transfers > 0 and used.transfers > most.transfers_a_day then 'transfers'
    when use_today.new_thinkers > 0 and used.new_thinkers > most.new_thinkers_a_day then 'new thinkers'
    when use_today.presence_changes > 0 and used.presence_changes > most.presence_changes_a_day
      then 'changes of presence'
    when use_today.telemetry_events > 0 and used.telemetry_events > most.telemetry_a_day then 'telemetry'
    when use_today.telemetry_events > 0 and cardinality(used.telemetry_types) > most.telemetry_types_a_day
      then 'types of telemetry'
    when use_today.bytes > 0 and used.bytes > most.bytes_a_day then 'bytes'
  end;
  if reached is not null then
    raise sqlstate 'PT429' using message = 'daily_limit_reached', detail = reached;
  end if;
end;
$$;

comment on function private.use_today is
  'Adds to what the acting thinker has written today (UTC), and refuses what is above the limits in private.settings; '
  'telemetry_types are the types of the events. The thinkers of a browser session share the limits. A trusted server '
  'that acts for no thinker has no limits. Locks the '
  'thinker''s own row until the end of the transaction: call it before what others may have to wait for is locked. '
  'daily_limit_reached has what is limited as detail. '
  'Raises: daily_limit_reached (429).';
