create function private.drop_old_event_partitions(older_than interval)
returns integer
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '500ms'
as $$
declare
  old     regclass;
  dropped integer := 0;
begin
  for old in
    select p.partition
    from private.event_partitions() p
    where p.ends_at <= least(now(), now() - drop_old_event_partitions.older_than)
  loop
    execute format('drop table %s', old);
    dropped := dropped + 1;
  end loop;
  return dropped;
end;
$$;

comment on function private.drop_old_event_partitions is
  'Drops the partitions of public.events that ended longer ago than older_than. Never drops a younger event, nor one '
  'of the default partition. Returns the number of dropped partitions. Fails with lock_not_available (lock_timeout) '
  'instead of waiting longer than half a second, for example behind a long query; run it again later.';
