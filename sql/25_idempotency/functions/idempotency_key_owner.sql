create function private.idempotency_key_owner()
returns text
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.uid()::text, auth.role(), session_user)
$$;

comment on function private.idempotency_key_owner is
  'The owner of an idempotency key: the id of the acting thinker, or the role if no thinker acts.';
