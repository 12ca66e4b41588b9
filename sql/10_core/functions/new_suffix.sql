create function private.new_suffix()
returns text
language sql
volatile
set search_path = ''
as $$
  -- the middle of a UUID of version 4 has the fixed bits of version and variant: take both ends
  select left(hex, 12) || right(hex, 8)
  from (select replace(gen_random_uuid()::text, '-', '') as hex) uuid
$$;

comment on function private.new_suffix is
  '20 random hex digits (80 bits) from a secure source: the unguessable part of a generated id.';
