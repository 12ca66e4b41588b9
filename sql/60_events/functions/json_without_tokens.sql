create function private.json_without_tokens(value jsonb, is_part boolean default false)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- nearly all have none; each part of one that has would be printed again at every level
  if value is null or value in ('{}', '[]') or not is_part and value::text collate "C" !~* '(mot|sig|token)' then
    return value;
  end if;
  case jsonb_typeof(value)
    when 'object' then
      return (
        select jsonb_object_agg(
          private.without_tokens(e.key),
          case
            when jsonb_typeof(e.value) = 'string' and e.key collate "C" ~* '^(mot|sig|([a-z]+_)?token)$' then '"***"'
            else private.json_without_tokens(e.value, is_part => true)
          end
        )
        from jsonb_each(json_without_tokens.value) as e
      );
    when 'array' then
      return (
        select jsonb_agg(private.json_without_tokens(e.value, is_part => true) order by e.n)
        from jsonb_array_elements(json_without_tokens.value) with ordinality as e (value, n)
      );
    when 'string' then
      return to_jsonb(private.without_tokens(value #>> '{}'));
    else
      return value;
  end case;
end;
$$;

comment on function private.json_without_tokens is
  'The JSON with *** in the place of every login token: texts named mot, token, thinker_token, access_token or sig, '
  'and tokens within other texts.';
