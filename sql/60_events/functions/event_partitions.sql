create function private.event_partitions()
returns table (partition regclass, starts_at timestamptz, ends_at timestamptz)
language sql
stable
set search_path = ''
set timezone = 'UTC'
as $$
  select p.oid::regclass, p.bounds[1]::timestamptz, p.bounds[2]::timestamptz
  from (
    select c.oid, regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') as bounds
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'public.events'::regclass
  ) p
  order by 2 nulls last
$$;

comment on function private.event_partitions is
  'The partitions of public.events, oldest first, each with the period of its events: from starts_at until before '
  'ends_at. Both are null for the default partition, which holds events of months without a partition.';
