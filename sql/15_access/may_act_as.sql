create function private.may_act_as(role text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
-- lists call it, and are planned anew each time
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  return private.is_service()
    or exists (select from public.thinkers t where t.id = auth.uid() and may_act_as.role = any (t.roles))
    -- only a server can write the app_metadata of a Supabase Auth user
    or coalesce(auth.jwt() -> 'app_metadata' ->> 'role' = may_act_as.role, false)
    or coalesce(auth.jwt() -> 'app_metadata' -> 'roles' @> to_jsonb(may_act_as.role), false);
end;
$$;

comment on function private.may_act_as is
  'True for a trusted server, for an actor with this role (lender, notary, admin), and for a JWT whose app_metadata '
  'has it as role or in roles.';

grant execute on function private.may_act_as to authenticated, service_role;
