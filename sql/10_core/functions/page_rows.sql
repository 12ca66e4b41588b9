create function private.page_rows(max_rows integer)
returns integer
language sql
immutable
return least(greatest(coalesce(max_rows, 1000), 1), 1000);

comment on function private.page_rows is 'How many rows a list has at most: max_rows, from 1 to 1000; by default 1000.';

grant execute on function private.page_rows to service_role, authenticated;
