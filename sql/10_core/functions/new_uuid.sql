create function private.new_uuid()
returns uuid
language sql
volatile
-- 4,096 parts of a millisecond, with the version before the last three digits; of the random UUID the variant and what
-- follows
return (
  overlay(
    lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 4096000)::bigint), 15, '0') placing '7' from 13 for 0
  ) || right(gen_random_uuid()::text, 17)
)::uuid;

comment on function private.new_uuid is
  'A new UUID of version 7: 48 bits of milliseconds and 12 bits of their fraction, so ids sort by time, to the '
  'microsecond of the server''s clock; two of the same microsecond sort at random. (PostgreSQL has uuidv7() from '
  'version 18; 15 is supported.)';
