create function private.may_act_as(role text)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select private.is_service()
    or exists (select from public.thinkers t where t.id = auth.uid() and may_act_as.role = any (t.roles))
$$;

comment on function private.may_act_as is
  'True for a trusted server and for an actor with that role (lender, notary, admin).';
