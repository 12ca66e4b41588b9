create function private.job_purge_idempotency_keys()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  deleted bigint;
begin
  delete from private.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics deleted = row_count;

  -- a client's address stays no longer; of a request that counts now another run deletes it. Last, because the next
  -- request of such a client waits for the end
  delete from private.request_counts c
  where c.client in (
    select o.client from private.request_counts o where o.window_ends_at < now() for update skip locked
  );
  return deleted;
end;
$$;

comment on function private.job_purge_idempotency_keys is
  'Deletes idempotency keys older than 24 hours, and expired counters of requests. Returns the number of the keys.';
