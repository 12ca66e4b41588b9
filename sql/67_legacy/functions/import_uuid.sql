create function private.import_uuid(id text)
returns uuid
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
declare
  hex text;
begin
  -- one of version 8 could be that of another's text
  if import_uuid.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    return import_uuid.id::uuid;
  end if;
  hex := encode(sha256(convert_to(import_uuid.id, 'UTF8')), 'hex');
  return (substr(hex, 1, 12) || '8' || substr(hex, 14, 3) || '8' || substr(hex, 18, 15))::uuid;
end;
$$;

comment on function private.import_uuid is
  'The id of an imported event, document or document link, whose legacy id is a text such as ct-mws0ylx7-53c1: the '
  'id itself if it is a UUID of another version than 8, otherwise its SHA-256 in the form of a UUID of version 8.';
