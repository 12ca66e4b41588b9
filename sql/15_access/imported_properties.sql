create function private.imported_properties()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query select r.id from private.import_rows r where r.legacy_table = 'properties';
end;
$$;

comment on function private.imported_properties is
  'The ids of the properties that imports have made: no operator has entered them, although nobody may be known who '
  'named them.';

grant execute on function private.imported_properties to authenticated;
