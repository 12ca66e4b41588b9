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
  return deleted;
end;
$$;

comment on function private.job_purge_idempotency_keys is
  'Deletes idempotency keys older than 24 hours. Returns their number.';
