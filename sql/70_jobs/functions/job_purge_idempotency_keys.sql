create function private.job_purge_idempotency_keys()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  forgotten bigint;
begin
  delete from private.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics forgotten = row_count;
  return forgotten;
end;
$$;

comment on function private.job_purge_idempotency_keys is 'Forgets idempotency keys after 24 hours. Returns how many.';
