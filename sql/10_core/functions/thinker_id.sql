create function private.thinker_id(public_id text)
returns uuid
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when public_id collate "C"
      ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
      then public_id::uuid
    else (
      select (substr(hex, 1, 12) || '8' || substr(hex, 14, 3) || '8' || substr(hex, 18, 15))::uuid
      from (select encode(sha256(convert_to(public_id, 'UTF8')), 'hex') as hex) digest
    )
  end
$$;

comment on function private.thinker_id is
  'Computes a thinker''s id from its public id: the public id itself if it is a UUID of version 4 (a user of Supabase '
  'Auth), otherwise its SHA-256 in the form of a UUID of version 8, so that no two public ids share an id. '
  'api/actor.py has the same rule.';
