create function private.known_actor()
returns uuid
language sql
stable
set search_path = ''
as $$
  select t.id from public.thinkers t where t.id = auth.uid()
$$;

comment on function private.known_actor is
  'The id of the acting thinker, for the event log; null if a server or an operator acts without a thinker.';
