create function private.make_event_partition(month timestamptz)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
  name text := 'events_' || coalesce(to_char(make_event_partition.month, 'YYYY_MM'), 'default');
begin
  -- created as a table and then attached, because creating it as a partition would lock public.events exclusively
  execute format('create table private.%I (like public.events including all)', name);
  execute format(
    'comment on table private.%I is %L',
    name,
    case
      when make_event_partition.month is null
        then 'Events of months without a partition; private.make_event_partitions moves them.'
      else 'The events of ' || to_char(make_event_partition.month, 'YYYY-MM') || ' (UTC): a partition of public.events.'
    end
  );
  execute format('alter table private.%I alter column subject_id set statistics 0', name);
  execute format('alter table private.%I enable row level security', name);
  execute format(
    'create trigger tg_events__refuse before truncate on private.%I '
    'for each statement execute function private.tg_append_only__refuse()',
    name
  );
  execute format(
    'alter table public.events attach partition private.%I %s',
    name,
    case
      when make_event_partition.month is null then 'default'
      else format(
        'for values from (%L) to (%L)', make_event_partition.month, make_event_partition.month + interval '1 month'
      )
    end
  );
end;
$$;

comment on function private.make_event_partition is
  'Creates the partition of public.events for the month that begins at this time (UTC), or the default partition '
  '(null). No role may read, write or truncate a partition directly. Called by private.make_event_partitions, which '
  'finds the missing ones. '
  'Raises: append_only (403).';
