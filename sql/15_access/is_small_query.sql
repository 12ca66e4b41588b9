create function private.is_small_query()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  if octet_length(current_query()) > 16384
    or cardinality(string_to_array(current_query(), 'CAST(')) > 11
    or cardinality(string_to_array(current_query(), 'pgrst_scalar')) > 31
    or current_query() collate "C" ~* 'like\s+(any|all)\s*\('
  then
    raise sqlstate 'PT400' using message = 'query_too_large';
  end if;
  return true;
end;
$$;

comment on function private.is_small_query is
  'True for a statement of at most 16 KiB, with at most ten casts, without like any, that names the result of a '
  'function at most 30 times; policies of every table and functions that write ask it. PostgREST turns '
  'select=a:description::tsquery into CAST(...), and calls the result of a function pgrst_scalar. No timeout ends a '
  'row whose columns cast one long text, or compare it with a pattern, or repeat one large result, hundreds of times. '
  'Raises: query_too_large (400).';

grant execute on function private.is_small_query to anon, authenticated;
