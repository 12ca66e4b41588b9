create function private.erase_own_rows(counts jsonb, thinker uuid, successor uuid)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  changed bigint;
begin
  delete from public.telemetry_events t where t.actor_id = thinker;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'telemetry_events', 'deleted', changed);

  delete from private.idempotency_keys k where k.actor = thinker::text;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'idempotency_keys', 'deleted', changed);

  update public.transfers t
  set thinker_id = successor, wallet_address = null, external_account = null, meta = '{}',
    label = case t.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
  where t.thinker_id = thinker;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'transfers', 'emptied', changed);
  return private.add_count(counts, 'transfers', 'pseudonym', changed);
end;
$$;

comment on function private.erase_own_rows is
  'Erases the rows of a thinker that may be many and that nobody else uses: telemetry, stored responses, transfers. '
  'Returns `counts` with their numbers (private.add_count). private.erase_thinker does it before its locks, and again '
  'for what came in the meantime.';
