create view private.import_properties
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'address' as address,
  coalesce(private.import_json(s.content ->> 'meta'), '{}') as meta,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_properties is
  'The rows of a batch of the legacy table properties, as they are written.';
