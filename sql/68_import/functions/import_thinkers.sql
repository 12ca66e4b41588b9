create function private.import_thinkers(ns integer[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  missing text[];
begin
  select array_agg(named.uid) into missing
  from (
    select distinct u.uid
    from private.import_staging s
    cross join lateral private.import_uids(s.content) as u (uid)
    where s.n = any (import_thinkers.ns)
  ) named
  where not exists (select from public.thinkers t where t.public_id = named.uid);

  insert into public.thinkers (id, public_id, created_at)
  select private.thinker_id(u.uid), u.uid, least(min(private.import_time(s.content ->> 'created_at')), now())
  from private.import_staging s
  cross join lateral private.import_uids(s.content) as u (uid)
  where missing is not null and s.n = any (import_thinkers.ns) and u.uid = any (missing)
  group by u.uid
  -- the order in which other transactions create them, too
  order by 1
  on conflict do nothing;

  -- somebody else may have named one of them since the batch began
  if exists (select from private.claims c where c.session_id is null) then
    delete from private.claims c
    using (
      select private.thinker_id(u.uid) as id
      from private.import_staging s
      cross join lateral private.import_uids(s.content) as u (uid)
      where s.n = any (import_thinkers.ns)
    ) named
    where c.thinker_id = named.id and c.session_id is null and c.claimed_at is null;
  end if;
end;
$$;

comment on function private.import_thinkers is
  'Creates the thinkers whose uids the rows of a batch name, as of the first row that names them. '
  'They are nobody''s to claim.';
