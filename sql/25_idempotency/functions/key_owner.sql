create function private.key_owner()
returns text
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.uid()::text, auth.role(), session_user)
$$;

comment on function private.key_owner is
  'Whose an idempotency key is: the id of the thinker who acts, or the role of who acts for nobody in particular.';
