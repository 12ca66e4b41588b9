create function private.json_without_tokens(value jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  text text collate "C" := value::text;
begin
  -- nearly all have none
  if text is null or text collate "C" !~* '(mot|sig|token)' then
    return value;
  end if;
  -- in the JSON as it is printed: a walk through its parts takes ten times as long. What follows is that of
  -- private.without_tokens; a quote within a text has a backslash before it, and a control character is an escape
  text := regexp_replace(text, '((?<!\\)"(?:mot|sig|(?:[a-z]+_)?token)": ")(?:[^"\\]|\\.)*', '\1***', 'gi');
  text := regexp_replace(
    text,
    '((?:[^a-z0-9_]|%(?:25)*[0-9a-f]{2}|\\[bfnrt]|\\u[0-9a-f]{4})(?:mot|sig|(?:[a-z]+_)?token)(?:=|%(?:25)*3d))'
    '(?:[^&#;"''<> \\]|\\[bf]|\\u[0-9a-f]{4})+',
    '\1***',
    'gi'
  );
  return regexp_replace(
    text,
    '(\\"(?:mot|sig|(?:[a-z]+_)?token)\\(?:\\\\)*" ?: ?\\(?:\\\\)*")(?:[^"\\]|\\[bfnrt]|\\u[0-9a-f]{4})+',
    '\1***',
    'gi'
  )::jsonb;
end;
$$;

comment on function private.json_without_tokens is
  'The JSON with *** in the place of every login token: texts named mot, token, thinker_token, access_token or sig, '
  'and tokens within other texts.';
