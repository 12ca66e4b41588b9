create function public.record_telemetry(events jsonb, idempotency_key text default null)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  request jsonb := jsonb_build_array('record_telemetry', record_telemetry.events);
  answer  jsonb := private.first_answer(record_telemetry.idempotency_key, request);
  actor   uuid;
  stored  integer;
begin
  if answer is not null then
    return answer::integer;
  end if;

  if coalesce(jsonb_typeof(record_telemetry.events), '') <> 'array' then
    raise sqlstate 'PT400' using message = 'events_required';
  end if;
  if jsonb_array_length(record_telemetry.events) > 1000 then
    raise sqlstate 'PT413' using message = 'too_many_events';
  end if;

  -- a trusted server speaks for the pages' users; anybody else for itself only. In the order of their ids, so that
  -- two batches with the same new thinkers wait for each other and never in a circle
  if private.is_service() then
    perform private.thinker_of(named.uid)
    from (
      select distinct e ->> 'actor_uid' as uid
      from jsonb_array_elements(record_telemetry.events) as e
      where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> ''
    ) named
    order by private.thinker_id(named.uid);
  else
    actor := private.acting_thinker();
  end if;

  insert into public.telemetry_events (type, path, actor_id, meta)
  select e ->> 'type', e ->> 'path', coalesce(actor, private.thinker_id(e ->> 'actor_uid')), nullif(e -> 'meta', 'null')
  from jsonb_array_elements(record_telemetry.events) as e
  where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> '';
  get diagnostics stored = row_count;

  perform private.keep_answer(record_telemetry.idempotency_key, request, to_jsonb(stored));
  return stored;
end;
$$;

comment on function public.record_telemetry is
  'Stores what pages report: an array of {type, path, actor_uid, meta}; events without a type are skipped. Returns how many '
  'were stored. Refuses: events_required, uid_invalid (400), not_signed_in (401), too_many_events (413: more than 1,000). '
  'The same again with the same idempotency_key gives the first answer, see private.first_answer.';

grant execute on function public.record_telemetry to authenticated, service_role;
