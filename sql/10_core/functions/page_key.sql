create function private.page_key(after text)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
  key text[];
begin
  key := array(
    select jsonb_array_elements_text(
      convert_from(decode(translate(page_key.after, '-_', '+/'), 'base64'), 'UTF8')::jsonb
    )
  );
  if page_key.after is not null and cardinality(key) < 2 then
    raise sqlstate 'PT400' using message = 'value_invalid', detail = 'after';
  end if;
  return key;
end;
$$;

comment on function private.page_key is
  'The sort key of the last row of a page, from the cursor that read_page gave; an empty array for the first page. '
  'Raises: value_invalid (400).';

grant execute on function private.page_key to service_role, authenticated;
