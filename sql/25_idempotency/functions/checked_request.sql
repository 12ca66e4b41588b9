create function private.checked_request(request jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  -- check the session before the JSON: a refused request must not delay the thinker that it names
  perform private.is_valid_request();
  -- a column's JSON is up to three levels within the request; how long it is, is the column's rule
  perform private.check_json(checked_request.request, levels => 66, bytes => null);
  return checked_request.request;
end;
$$;

comment on function private.checked_request is
  'Returns a function''s name and arguments, of which some are JSON of the client. Checks levels and numbers first, so '
  'that a small request cannot become gigabytes when it is hashed, or shown in the error of a constraint. '
  'Raises: json_unreasonable, query_too_large (400); session_ended (401).';
