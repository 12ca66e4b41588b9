create function private.new_uuid()
returns uuid
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
declare
  microseconds constant bigint := floor(extract(epoch from clock_timestamp()) * 1000000);
begin
  return (
    lpad(to_hex(microseconds / 1000), 12, '0')
    || '7' || lpad(to_hex(microseconds % 1000 * 4096 / 1000), 3, '0')
    || substr(replace(gen_random_uuid()::text, '-', ''), 17)
  )::uuid;
end;
$$;

comment on function private.new_uuid is
  'A new UUID of version 7: 48 bits of milliseconds and 12 bits of their fraction, so ids sort by time, to the '
  'microsecond of the server''s clock; two of the same microsecond sort at random. (PostgreSQL has uuidv7() from '
  'version 18; 15 is supported.)';
