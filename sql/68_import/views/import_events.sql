create view private.import_events
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  private.import_uuid(s.content ->> 'id') as id,
  s.content ->> 'type' as type,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'actor_id') as actor_id,
  nullif(s.content ->> 'subject_type', '') as subject_type,
  -- a document has another id now
  case s.content ->> 'subject_type'
    when 'contract' then private.import_uuid(s.content ->> 'subject_id')::text
    else nullif(s.content ->> 'subject_id', '')
  end as subject_id,
  coalesce(nullif(private.import_json(s.content ->> 'meta'), 'null'), '{}') as meta,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_events is 'The rows of a batch of the legacy table events, as they are written.';
