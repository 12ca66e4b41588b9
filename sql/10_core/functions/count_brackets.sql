create function private.count_brackets(shown text)
returns integer
language sql
immutable
return 2 * octet_length(shown) - octet_length(replace(shown, '[', '')) - octet_length(replace(shown, '{', ''));

comment on function private.count_brackets is
  'How many brackets JSON has that begin an array or an object, those in its texts included.';

grant execute on function private.count_brackets to service_role, authenticated;
