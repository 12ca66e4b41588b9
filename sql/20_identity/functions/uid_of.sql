create function private.uid_of(thinker uuid)
returns text
language plpgsql -- caches the plan for the next call
stable
security definer
set search_path = ''
-- lists call it for each row, and are planned anew each time
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  return (select t.public_id from public.thinkers t where t.id = uid_of.thinker);
end;
$$;

comment on function private.uid_of is 'The public id of a thinker, which the portal calls uid.';

grant execute on function private.uid_of to service_role, authenticated;
