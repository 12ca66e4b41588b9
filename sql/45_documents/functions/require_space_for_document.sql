create function private.require_space_for_document(creator uuid, byte_size bigint)
returns void
language plpgsql
set search_path = ''
as $$
declare
  added      bigint := greatest(require_space_for_document.byte_size, 65536);
  of_all     numeric;
  of_creator numeric;
  most       private.settings;
begin
  -- until the end of the transaction, so that documents that are stored at the same time are counted
  perform pg_advisory_xact_lock(private.lock_number('require_space_for_document'));

  select
    coalesce(sum(size), 0),
    coalesce(sum(size) filter (where created_by = require_space_for_document.creator), 0)
  into of_all, of_creator
  from (select c.created_by, greatest(c.byte_size, 65536) as size from public.contracts c) documents;
  select * into most from private.settings;

  if require_space_for_document.creator is not null and added + of_creator > most.document_bytes_a_thinker then
    raise sqlstate 'PT403' using message = 'your_documents_full';
  end if;
  if added + of_all > most.document_bytes then
    raise sqlstate 'PT507' using message = 'storage_full';
  end if;
end;
$$;

comment on function private.require_space_for_document is
  'Checks that one more document stays within what private.settings allows a thinker, if one is given, and all '
  'documents together. A document counts as 64 KiB at least, because a small one costs a folder, a file and rows, too. '
  'Raises: your_documents_full (403); storage_full (507).';
