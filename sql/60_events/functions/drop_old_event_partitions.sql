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
  'Drops the months of public.events that were over so long ago, whole: an event younger than older_than is never lost, nor is '
  'one of the default partition. Returns how many months were dropped. Gives up (lock_timeout) where it would wait more than '
  'half a second, as behind a long query: run it again later.';
