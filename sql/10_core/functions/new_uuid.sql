create function private.new_uuid()
returns uuid
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
begin
  return (
    lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14)
  )::uuid;
end;
$$;

comment on function private.new_uuid is
  'A new UUID of version 7: its first 48 bits are milliseconds, so ids sort by time. (PostgreSQL has uuidv7() from '
  'version 18; 15 is supported.)';
