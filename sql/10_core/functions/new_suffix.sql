create function private.new_suffix()
returns text
language sql
volatile
set search_path = ''
as $$
  -- the middle of a UUID of version 4 holds the version's and the variant's fixed bits: take both ends
  select left(hex, 12) || right(hex, 8)
  from (select replace(gen_random_uuid()::text, '-', '') as hex) uuid
$$;

comment on function private.new_suffix is '20 hex digits (80 bits) from a secure source: the part of a generated id that nobody can guess.';
