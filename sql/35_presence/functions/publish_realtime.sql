create function private.publish_realtime(is_published boolean)
returns void
language plpgsql
set search_path = ''
as $$
declare
  changed text;
begin
  if not exists (select from pg_catalog.pg_publication p where p.pubname = 'supabase_realtime') then
    raise undefined_object using
      message = 'there is no publication supabase_realtime',
      hint = 'A Supabase project has it. For a Realtime of your own: create publication supabase_realtime.';
  end if;
  for changed in
    select t.name
    from unnest(array['presence_sessions', 'rooms']) as t (name)
    where publish_realtime.is_published <> exists (
      select from pg_catalog.pg_publication_tables p
      where p.pubname = 'supabase_realtime' and p.schemaname = 'public' and p.tablename = t.name
    )
  loop
    execute format(
      'alter publication supabase_realtime %s table public.%I',
      case when publish_realtime.is_published then 'add' else 'drop' end, changed
    );
  end loop;
end;
$$;

comment on function private.publish_realtime is
  'Begins or ends that Supabase Realtime sends the changes of presence_sessions and rooms to those who see the changed '
  'row: to each what its token may read. Who listens to deleted rows learns the id of each, and nothing else. Every '
  'heartbeat is a change, which Realtime checks for every listener.';
