create function private.make_import_partitions(months text[])
returns void
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '500ms'
as $$
declare
  month timestamptz;
begin
  perform pg_advisory_xact_lock(private.lock_number('make_event_partitions'));
  for month in
    select m.month
    from (select (name || '-01')::timestamptz as month from unnest(make_import_partitions.months) as name) m
    where m.month between now() - interval '20 years' and now()
      and not exists (select from private.event_partitions() p where m.month >= p.starts_at and m.month < p.ends_at)
      -- private.make_event_partitions moves these
      and not exists (
        select from private.events_default e
        where e.created_at >= m.month and e.created_at < m.month + interval '1 month'
      )
    order by 1
  loop
    lock table public.thinkers in share row exclusive mode;
    perform private.make_event_partition(month);
  end loop;
end;
$$;

comment on function private.make_import_partitions is
  'Creates the missing partitions of public.events for months such as 2026-10, before an import writes their events. '
  'Fails with lock_not_available instead of waiting longer than half a second. '
  'Raises: append_only (403).';
