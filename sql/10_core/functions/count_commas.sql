create function private.count_commas(shown text)
returns integer
language sql
immutable
return octet_length(shown) - octet_length(replace(shown, ',', ''));

comment on function private.count_commas is
  'How many commas JSON has, those in its texts included: one less than the values of each array and object.';

grant execute on function private.count_commas to service_role, authenticated;
