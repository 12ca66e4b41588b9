create function private.lock_number(name text)
returns bigint
language sql
immutable
strict
set search_path = ''
as $$
  select ('x' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 16))::bit(64)::bigint
$$;

comment on function private.lock_number is
  'The number of the advisory lock with this name, of which clients choose a part: from its SHA-256, because a text '
  'with the same hashtextextended as the name of another lock is found within a second.';
