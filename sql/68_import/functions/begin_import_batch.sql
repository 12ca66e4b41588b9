create function private.begin_import_batch()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- one batch at a time: two imports take turns
  perform pg_advisory_xact_lock(private.lock_number('import_batch'));
  truncate private.import_staging;
end;
$$;

comment on function private.begin_import_batch is
  'Begins a batch of an import: waits for that of another import, until the end of its transaction.';
