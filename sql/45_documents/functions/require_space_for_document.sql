create function private.require_space_for_document(creator uuid, byte_size bigint, client text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  added      numeric := greatest(require_space_for_document.byte_size, 65536);
  of_all     numeric;
  of_creator numeric;
  most       private.settings;
  uploaded   jsonb;
begin
  -- until the end of the transaction, so that documents that are stored at the same time are counted
  perform pg_advisory_xact_lock(private.lock_number('require_space_for_document'));

  select t.bytes into of_all from private.document_total t;
  select sum(greatest(c.byte_size, 65536)) into of_creator
  from public.contracts c
  where c.created_by = any ((select private.same_session(require_space_for_document.creator))::uuid[]);
  select * into most from private.settings;

  if require_space_for_document.creator is not null
    and added + coalesce(of_creator, 0) > most.document_bytes_a_thinker
  then
    raise sqlstate 'PT403' using message = 'your_documents_full';
  end if;
  if added + coalesce(of_all, 0) > most.document_bytes then
    raise sqlstate 'PT507' using message = 'storage_full';
  end if;
  if require_space_for_document.client is not null then
    uploaded := public.count_request(
      'upload|' || require_space_for_document.client, ceil(added / 65536)::int, interval '24 hours'
    );
    if (uploaded ->> 'requests')::bigint * 65536 > most.upload_bytes_a_day then
      raise sqlstate 'PT429' using message = 'daily_limit_reached', detail = 'upload_bytes_a_day';
    end if;
  end if;
end;
$$;

comment on function private.require_space_for_document is
  'Checks that one more document stays within what private.settings allows a thinker and a client address, if they '
  'are given, and all documents together. A document counts as 64 KiB at least (private.document_total). '
  'Raises: not_a_server, your_documents_full (403); daily_limit_reached (429); storage_full (507).';
