create function private.import_json(value text)
returns jsonb
language plpgsql
immutable
strict
set search_path = ''
as $$
declare
  json jsonb;
begin
  if import_json.value <> '' then
    -- a row has at most 64 KiB of JSON; read, it may take some hundred times the memory of its text
    if octet_length(import_json.value) > 524288 then
      raise sqlstate 'PT400' using message = 'json_unreasonable';
    end if;
    json := import_json.value::jsonb;
    perform private.check_json(json, bytes => null);
  end if;
  return json;
end;
$$;

comment on function private.import_json is
  'The JSON of a text of at most 512 KiB; null for an empty one. Its numbers are measured before the mapped row is '
  'printed and hashed: 1e131000 has eight characters, and is printed with 131,001. '
  'Raises: json_unreasonable (400).';
