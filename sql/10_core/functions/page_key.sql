create function private.page_key(after text)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
  parts jsonb;
begin
  if page_key.after is null then
    return array[]::text[];
  end if;

  -- longer than any that read_page gives; a number could be printed with 131,072 digits
  if length(page_key.after) <= 4096 then
    parts := convert_from(decode(translate(page_key.after, '-_', '+/'), 'base64'), 'UTF8')::jsonb;
  end if;
  if parts is null or jsonb_typeof(parts) <> 'array' or jsonb_array_length(parts) < 2
    or jsonb_path_exists(parts, '$[*] ? (@.type() != "string")') then
    raise sqlstate 'PT400' using message = 'value_invalid', detail = 'after';
  end if;
  return array(select jsonb_array_elements_text(parts));
end;
$$;

comment on function private.page_key is
  'The sort key of the last row of a page, from the cursor that read_page gave; an empty array for the first page. '
  'Raises: value_invalid (400).';

grant execute on function private.page_key to service_role, authenticated;
