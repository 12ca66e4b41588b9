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
  'Creates the event partitions of the next months, and drops those older than private.settings.events_kept. Returns '
  'the number of dropped partitions. '
  'Raises: append_only (403).';
