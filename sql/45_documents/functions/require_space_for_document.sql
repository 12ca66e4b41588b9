create function private.require_space_for_document(creator uuid, byte_size bigint)
returns void
language plpgsql
set search_path = ''
as $$
declare
  added bigint := greatest(require_space_for_document.byte_size, 65536);
begin
  -- until the end of the transaction, so that documents that are stored at the same time are counted
  perform pg_advisory_xact_lock(hashtextextended('require_space_for_document', 0));

  if require_space_for_document.creator is not null and added + (
    select coalesce(sum(greatest(c.byte_size, 65536)), 0)
    from public.contracts c
    where c.created_by = require_space_for_document.creator
  ) > (select s.document_bytes_a_thinker from private.settings s) then
    raise sqlstate 'PT403' using message = 'your_documents_full';
  end if;
  if added + (
    select coalesce(sum(greatest(c.byte_size, 65536)), 0)
    from public.contracts c
  ) > (select s.document_bytes from private.settings s) then
    raise sqlstate 'PT507' using message = 'storage_full';
  end if;
end;
$$;

comment on function private.require_space_for_document is
  'Checks that one more document stays within what private.settings allows a thinker, if one is given, and all '
  'documents together. A document counts as 64 KiB at least, because a small one costs a folder, a file and rows, too. '
  'Raises: your_documents_full (403); storage_full (507).';
