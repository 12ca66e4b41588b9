create function private.job_purge_old_events()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  perform private.make_event_partitions();
  return private.drop_old_event_partitions((select s.events_kept from private.settings s));
end;
$$;

comment on function private.job_purge_old_events is
  'Makes the partitions for the events to come, and drops those of the months that private.settings.events_kept no longer '
  'keeps. Returns how many were dropped.';
