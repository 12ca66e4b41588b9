create view private.import_contract_links
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  private.import_uuid(s.content ->> 'id') as id,
  private.import_uuid(s.content ->> 'contract_id') as contract_id,
  nullif(s.content ->> 'voucher_id', '') as voucher_id,
  nullif(s.content ->> 'room_id', '') as room_id,
  private.import_word(coalesce(nullif(s.content ->> 'role', ''), 'primary')) as role,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_contract_links is
  'The rows of a batch of the legacy table contract_links, as they are written.';
