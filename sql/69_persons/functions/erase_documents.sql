create function private.erase_documents(uid text)
returns text[]
language plpgsql
volatile
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  kept      constant text[] := private.kept_in_log();
  -- few: who stores a document waits for the end of the transaction
  documents text[] := (private.needed_by_nobody_else(private.thinker_id(erase_documents.uid))).documents[:200];
begin
  perform private.require_erasable(erase_documents.uid);
  perform set_config('portal.erasure', pg_current_xact_id()::text, true);
  update public.events e
  set meta = e.meta - array(select k from jsonb_object_keys(e.meta) k where k <> all (kept))
  from (
    select 'contract' as subject_type, c.id::text as subject_id
    from public.contracts c
    where c.storage_url = any (documents)
    union all
    select 'contract_link', l.id::text
    from public.contract_links l
    join public.contracts c on c.id = l.contract_id
    where c.storage_url = any (documents)
  ) own
  where e.meta - kept <> '{}' and e.subject_type = own.subject_type and e.subject_id = own.subject_id;
  delete from public.contracts c where c.storage_url = any (documents);
  perform set_config('portal.erasure', '', true);
  return documents;
end;
$$;

comment on function private.erase_documents is
  'Deletes some of the documents that nobody but this thinker needs, before private.erase_thinker locks what others '
  'use. Returns their paths, for the store; none when all are deleted. '
  'Raises: thinker_not_found (404); thinker_has_obligations (409).';
