create function private.follow_new_users()
returns void
language plpgsql
set search_path = ''
as $$
begin
  -- plain PostgreSQL has no auth.users
  if to_regclass('auth.users') is null or exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = to_regclass('auth.users') and t.tgname = 'tg_users__make_thinker'
  ) then
    return;
  end if;
  execute 'create trigger tg_users__make_thinker after insert on auth.users '
    'for each row execute function private.tg_users__make_thinker()';
end;
$$;

comment on function private.follow_new_users is
  'Lets each new user of Supabase Auth become a thinker. A dump of the portal''s schemas leaves this trigger out: call '
  'the function after a restore.';
