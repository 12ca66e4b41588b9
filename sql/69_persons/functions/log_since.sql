create function private.log_since(seen xid)
returns timestamptz
language sql
volatile
set search_path = ''
as $$
  select min(w.created_at)
  from (
    select e.created_at, e.xmin from public.events e where e.created_at >= now() - interval '1 hour'
    union all
    select k.created_at, k.xmin from private.idempotency_keys k where k.created_at >= now() - interval '1 hour'
  ) w
  where age(w.xmin) <= age(log_since.seen) and w.xmin <> pg_current_xact_id()::xid
$$;

comment on function private.log_since is
  'The time of the oldest event or stored response that others may have written since a snapshot, of which `seen` is '
  'pg_snapshot_xmin; null if there is none. No transaction of others takes an hour. For private.erase_thinker, which '
  'does not read again what it has read before its locks.';
