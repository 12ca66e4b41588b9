create view private.import_telemetry_events
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  private.without_tokens(s.content ->> 'type') as type,
  private.without_tokens(s.content ->> 'path') as path,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'actor_uid') as actor_id,
  private.json_without_tokens(private.import_json(s.content ->> 'meta')) as meta,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_telemetry_events is
  'The rows of a batch of the legacy table telemetry_events, as they are written.';
