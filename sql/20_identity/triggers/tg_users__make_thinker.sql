create function private.tg_users__make_thinker()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.thinkers (id, public_id)
  select new.id, new.id::text
  -- a user whose id is not a UUID of version 4 (imported) cannot become a thinker, but may sign up
  where private.thinker_id(new.id::text) = new.id
  on conflict do nothing;
  return null;
end;
$$;

comment on function private.tg_users__make_thinker is
  'Creates a thinker with the same id for every new user of Supabase Auth.';

select private.follow_new_users();
