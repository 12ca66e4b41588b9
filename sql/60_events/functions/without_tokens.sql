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

comment on function private.without_tokens(text) is
  'The text with *** in the place of every login token in it: the values of mot, token, thinker_token, access_token '
  'and sig, as parameters of a URL, percent-encoded or not, and as texts of JSON.';

create function private.without_tokens(value jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- nearly all have none
  if value is null or value::text collate "C" !~* '(mot|sig|token)' then
    return value;
  end if;
  case jsonb_typeof(value)
    when 'object' then
      return (
        select jsonb_object_agg(
          private.without_tokens(e.key),
          case
            when e.key collate "C" ~* '^(mot|sig|([a-z]+_)?token)$' and jsonb_typeof(e.value) = 'string' then '"***"'
            else private.without_tokens(e.value)
          end
        )
        from jsonb_each(without_tokens.value) as e
      );
    when 'array' then
      return (
        select jsonb_agg(private.without_tokens(e.value) order by e.n)
        from jsonb_array_elements(without_tokens.value) with ordinality as e (value, n)
      );
    when 'string' then
      return to_jsonb(private.without_tokens(value #>> '{}'));
    else
      return value;
  end case;
end;
$$;

comment on function private.without_tokens(jsonb) is
  'The JSON with *** in the place of every login token: texts named mot, token, thinker_token, access_token or sig, and '
  'tokens within other texts.';
