create function public.record_telemetry(events jsonb, idempotency_key text default null)
returns integer
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := private.checked_request(jsonb_build_array('record_telemetry', record_telemetry.events));
  response jsonb := private.replay_response(record_telemetry.idempotency_key, request);
  actor    uuid;
  stored   integer;
begin
  if response is not null then
    return response::integer;
  end if;

  if coalesce(jsonb_typeof(record_telemetry.events), '') <> 'array' then
    raise sqlstate 'PT400' using message = 'events_required';
  end if;
  if jsonb_array_length(record_telemetry.events) > 1000 then
    raise sqlstate 'PT413' using message = 'too_many_events';
  end if;

  -- only a trusted server may report for other thinkers. They are created in the order of their ids, to avoid deadlocks
  -- between two batches with the same new thinkers
  if private.is_service() then
    perform private.ensure_thinker(named.uid)
    from (
      select distinct e ->> 'actor_uid' as uid
      from jsonb_array_elements(record_telemetry.events) as e
      where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> ''
    ) named
    order by private.thinker_id(named.uid);
  else
    actor := private.acting_thinker();
    perform private.use_today(
      telemetry_events => count(*)::integer,
      -- a longer type is refused by its constraint
      telemetry_types => coalesce(array_agg(distinct left(e ->> 'type', 255)), '{}'),
      bytes => pg_column_size(request)
    )
    from jsonb_array_elements(record_telemetry.events) as e
    where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> '';
  end if;

  insert into public.telemetry_events (type, path, actor_id, meta)
  select e ->> 'type', e ->> 'path', coalesce(actor, private.thinker_id(e ->> 'actor_uid')), nullif(e -> 'meta', 'null')
  from jsonb_array_elements(record_telemetry.events) as e
  where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> '';
  get diagnostics stored = row_count;

  perform private.store_response(record_telemetry.idempotency_key, request, to_jsonb(stored));
  return stored;
end;
$$;

comment on function public.record_telemetry is
  'Stores what pages report: an array of at most 1,000 {type, path, actor_uid, meta}; events without a type are '
  'skipped. Returns the number of stored events. A repeated call with the same idempotency_key returns the stored '
  'response (private.replay_response). '
  'Raises: events_required, idempotency_key_invalid, json_unreasonable, query_too_large, uid_invalid (400); '
  'not_signed_in, session_ended (401); request_in_progress (409); too_many_events (413); idempotency_key_reused '
  '(422); daily_limit_reached (429).';

grant execute on function public.record_telemetry to authenticated, service_role;
