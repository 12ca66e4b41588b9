create function private.without_tokens(text text)
returns text
language sql
immutable
set search_path = ''
as $$
  select regexp_replace(
    regexp_replace(
      without_tokens.text collate "C",
      '((?:^|[^a-z0-9_]|%(?:25)*[0-9a-f]{2})(?:mot|sig|(?:[a-z]+_)?token)(?:=|%(?:25)*3d))[^&#;"''<> \t\r\n\\]+',
      '\1***',
      'gi'
    ),
    '("(?:mot|sig|(?:[a-z]+_)?token)\\*" ?: ?\\*")[^"\\]+',
    '\1***',
    'gi'
  )
$$;

comment on function private.without_tokens is
  'The text with *** in the place of every login token in it: the values of mot, token, thinker_token, access_token '
  'and sig, as parameters of a URL, percent-encoded or not, and as texts of JSON.';
