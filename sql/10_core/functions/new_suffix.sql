create function private.new_suffix()
returns text
language sql
volatile
-- the middle of a UUID of version 4 has the fixed bits of version and variant: take both ends
return encode(overlay(uuid_send(gen_random_uuid()) placing '' from 7 for 6), 'hex');

comment on function private.new_suffix is
  '20 random hex digits (80 bits) from a secure source: the unguessable part of a generated id.';
