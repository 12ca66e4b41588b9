create function private.import_people(ns integer[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into public.thinkers (id, public_id)
  select distinct private.thinker_id(u.uid), u.uid
  from private.import_staging s
  cross join lateral private.import_uids(s.content) as u (uid)
  where s.n = any (import_people.ns) and char_length(u.uid) <= 255
    and not exists (select from private.erased_uids e where e.hash = sha256(convert_to(u.uid, 'UTF8')))
  order by 1
  on conflict do nothing;
end;
$$;

comment on function private.import_people is
  'Creates the thinkers whose uids rejected rows of a batch name, without those that were erased: a later row is '
  'theirs, and until then they are nobody''s to claim.';
