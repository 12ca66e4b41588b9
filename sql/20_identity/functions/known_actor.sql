create function private.known_actor()
returns uuid
language sql
stable
set search_path = ''
as $$
  select t.id from public.thinkers t where t.id = auth.uid()
$$;

comment on function private.known_actor is
  'The id of the thinker who acts, for the log; null where a server or an operator acts for nobody in particular.';
