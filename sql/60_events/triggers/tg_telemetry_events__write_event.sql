create function private.tg_telemetry_events__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'telemetry.event', new.actor_id, 'telemetry', new.id,
    jsonb_build_object('type', new.type, 'path', regexp_replace(new.path, '[?#].*', ''))
  );
  return null;
end;
$$;

comment on function private.tg_telemetry_events__write_event is
  'Writes the event telemetry.event with the page''s path, without the query, which may contain a token.';

create trigger tg_telemetry_events__write_event
  after insert on public.telemetry_events
  for each row
  when (not private.is_import())
  execute function private.tg_telemetry_events__write_event();
