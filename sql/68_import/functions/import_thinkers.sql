create function private.import_thinkers(ns integer[])
returns void
language sql
volatile
set search_path = ''
as $$
  insert into public.thinkers (id, public_id, created_at)
  select private.thinker_id(u.uid), u.uid, coalesce(min(u.created_at), now())
  from (
    select named.uid, private.import_time(s.content ->> 'created_at') as created_at
    from private.import_staging s
    cross join lateral unnest(
      array[
        s.content ->> 'issuer_uid', s.content ->> 'holder_uid', s.content ->> 'borrower_uid',
        s.content ->> 'lender_uid', s.content ->> 'actor_uid', s.content ->> 'actor_id', s.content ->> 'created_by'
      ]
    ) as named (uid)
    where s.n = any (import_thinkers.ns) and named.uid <> ''
      and not exists (select from public.thinkers t where t.public_id = named.uid)
  ) u
  group by u.uid
  -- the order in which other transactions create them, too
  order by 1
  on conflict do nothing
$$;

comment on function private.import_thinkers is
  'Creates the thinkers whose uids the rows of a batch name, as of the first row that names them.';
