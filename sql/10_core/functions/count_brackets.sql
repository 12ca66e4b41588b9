create function private.count_brackets(shown text)
returns integer
language sql
immutable
strict
set search_path = ''
as $$
  select 2 * length(shown) - length(replace(shown, '[', '')) - length(replace(shown, '{', ''))
$$;

comment on function private.count_brackets is
  'How many brackets JSON has that begin an array or an object, those in its texts included.';

grant execute on function private.count_brackets to service_role, authenticated;
