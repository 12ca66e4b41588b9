create function private.is_valid_request()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- an operator's own statements may be larger
  if current_setting('role') not in ('anon', 'authenticated') then
    return true;
  end if;
  if octet_length(current_query()) > 16384
    or length(current_query()) - length(replace(current_query(), 'pgrst_scalar', '')) > 30 * length('pgrst_scalar')
    or length(current_query()) - length(replace(current_query(), 'LATERAL', '')) > 3 * length('LATERAL')
    -- the regular expression takes longer than all the rest, and needs one of these
    or lower(current_query() collate "C") like any ('{%cast%,%like%,%~%,%@@%,%graphql%}')
    and current_query() collate "C" ~* '\mcast\s*\(|\mi?like\s+(any|all)\s*\(|~|@@|graphql'
  then
    raise sqlstate 'PT400' using message = 'query_too_large';
  end if;
  if auth.jwt() ? 'portal_session' then
    perform private.require_live_session();
  end if;
  return true;
end;
$$;

comment on function private.is_valid_request is
  'True for a request of anon or authenticated whose statement is small, and whose browser session, if its JWT names '
  'one (portal_session), still acts as its thinker. Policies of every table ask it, and functions with the rights of '
  'their owner before anything else. A statement is small unless it has more than 16 KiB, a cast, a regular '
  'expression, a full-text search, like any or more than three embedded tables, or names the result of a function more '
  'than 30 times. PostgREST turns select=a:description::int into CAST(...), match into ~, fts into @@, an embedded '
  'table into LATERAL, and calls the result of a function pgrst_scalar. pg_graphql makes statements of its own, of '
  'which only the call is seen here. No timeout ends a row whose columns cast one long text, or compare it with '
  'patterns, or repeat one large result, or hold tables in tables; a failed cast writes the whole text into the log; '
  'a connection keeps 32 expressions of megabytes each. '
  'Raises: query_too_large (400); session_ended (401).';

grant execute on function private.is_valid_request to anon, authenticated, service_role;
