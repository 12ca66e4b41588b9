create function private.new_id(prefix text)
returns text
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
declare
  digits constant text := '0123456789abcdefghijklmnopqrstuvwxyz';
  ms     constant bigint := floor(extract(epoch from clock_timestamp()) * 1000);
begin
  return prefix || '-'
    || substr(digits, (ms / 78364164096 % 36)::int + 1, 1)
    || substr(digits, (ms / 2176782336 % 36)::int + 1, 1)
    || substr(digits, (ms / 60466176 % 36)::int + 1, 1)
    || substr(digits, (ms / 1679616 % 36)::int + 1, 1)
    || substr(digits, (ms / 46656 % 36)::int + 1, 1)
    || substr(digits, (ms / 1296 % 36)::int + 1, 1)
    || substr(digits, (ms / 36 % 36)::int + 1, 1)
    || substr(digits, (ms % 36)::int + 1, 1)
    || '-' || private.new_suffix();
end;
$$;

comment on function private.new_id is
  'A new id in the legacy form <prefix>-<milliseconds in base 36>-<random>, such as v-mws0ylx7-53c1...';
