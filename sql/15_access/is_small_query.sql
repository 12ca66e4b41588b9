create function private.is_small_query()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- an operator's own statements may be larger
  if current_setting('role') in ('anon', 'authenticated') and (
    octet_length(current_query()) > 16384
    or cardinality(string_to_array(current_query(), 'pgrst_scalar')) > 31
    or cardinality(string_to_array(current_query(), 'LATERAL')) > 4
    or current_query() collate "C" ~* '\mcast\s*\(|\mi?like\s+(any|all)\s*\(|~'
  ) then
    raise sqlstate 'PT400' using message = 'query_too_large';
  end if;
  return true;
end;
$$;

comment on function private.is_small_query is
  'True unless a statement of anon or authenticated has more than 16 KiB, a cast, a regular expression, like any or '
  'more than three embedded tables, or names the result of a function more than 30 times; policies of every table ask '
  'it, and functions with the rights of their owner before anything else. PostgREST turns select=a:description::int '
  'into CAST(...), match into ~, an embedded table into LATERAL, and calls the result of a function pgrst_scalar. No '
  'timeout ends a row whose columns cast one long text, or compare it with patterns, or repeat one large result, or '
  'hold tables in tables; a failed cast writes the whole text into the log; a connection keeps 32 expressions of '
  'megabytes each. '
  'Raises: query_too_large (400).';

grant execute on function private.is_small_query to anon, authenticated, service_role;
