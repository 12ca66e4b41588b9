create function private.tg_telemetry_events__hide_tokens()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.type := private.without_tokens(new.type);
  new.path := private.without_tokens(new.path);
  -- before they are sought in it, which takes seconds in many values
  perform private.check_json(new.meta);
  new.meta := private.json_without_tokens(new.meta);
  return new;
end;
$$;

comment on function private.tg_telemetry_events__hide_tokens is
  'Takes login tokens out of what pages report: a link with a token signs in everybody who reads it. '
  'Raises: json_unreasonable (400).';

create trigger tg_telemetry_events__hide_tokens
  before insert or update on public.telemetry_events
  for each row
  execute function private.tg_telemetry_events__hide_tokens();
