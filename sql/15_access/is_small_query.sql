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
    or cardinality(string_to_array(current_query(), 'CAST(')) > 11
    or cardinality(string_to_array(current_query(), 'pgrst_scalar')) > 31
    or current_query() collate "C" ~* 'like\s+(any|all)\s*\('
  ) then
    raise sqlstate 'PT400' using message = 'query_too_large';
  end if;
  return true;
end;
$$;

comment on function private.is_small_query is
  'True unless a statement of anon or authenticated has more than 16 KiB, more than ten casts or like any, or names '
  'the result of a function more than 30 times; policies of every table and functions that write ask it. PostgREST '
  'turns select=a:description::tsquery into CAST(...), and calls the result of a function pgrst_scalar. No timeout '
  'ends a row whose columns cast one long text, or compare it with a pattern, or repeat one large result, hundreds of '
  'times. Raises: query_too_large (400).';

grant execute on function private.is_small_query to anon, authenticated;
