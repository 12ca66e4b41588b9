create function private.operator_name()
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select left(
    coalesce(
      private.uid_of(private.known_actor()),
      auth.role(),
      nullif(current_setting('portal.operator', true), ''),
      session_user
    ),
    255
  )
$$;

comment on function private.operator_name is
  'Who acts, for the books: the uid of the acting thinker; for a server that names no thinker its role; for a session '
  'of an operator the name in the setting portal.operator (set portal.operator = ''alice''), or the login.';
