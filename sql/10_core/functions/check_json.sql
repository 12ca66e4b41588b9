create function private.check_json(value jsonb)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- clients' parsers have limits: one unreadable row would make a whole list unreadable
  if octet_length(value::text) > 4194304
    or jsonb_path_exists(value, '$.**{63}')
    or jsonb_path_exists(
      value, '$.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))'
    ) then
    raise sqlstate 'PT400' using message = 'json_unreasonable';
  end if;
  return true;
end;
$$;

comment on function private.check_json is
  'True for JSON of at most 63 levels and 4 MiB whose numbers are within the range of a double. For check constraints. '
  'Raises: json_unreasonable (400).';
