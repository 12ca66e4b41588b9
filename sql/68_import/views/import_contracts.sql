create view private.import_contracts
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  private.import_uuid(s.content ->> 'id') as id,
  s.content ->> 'name' as name,
  nullif(s.content ->> 'mime_type', '') as mime_type,
  -- null was written for an empty file
  coalesce((s.content ->> 'byte_size')::bigint, 0) as byte_size,
  s.content ->> 'storage_url' as storage_url,
  private.import_word(s.content ->> 'hash_sha256') as hash_sha256,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'created_by') as created_by,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_contracts is
  'The rows of a batch of the legacy table contracts, as they are written; storage_url has the legacy id.';
