create function private.import_creators(ns integer[], run integer)
returns void
language sql
volatile
set search_path = ''
as $$
  update public.properties p
  set created_by = first.borrower_id
  from (
    select distinct on (s.content ->> 'property_id') s.content ->> 'property_id' as property_id, t.id as borrower_id
    from private.import_staging s
    join public.thinkers t on t.public_id = s.content ->> 'borrower_uid'
    where s.n = any (import_creators.ns)
    order by 1, s.n
  ) first
  -- an imported one is no operator's, which every applicant may read
  where p.id = first.property_id and p.created_by is null and (
    select (select i.source from private.import_runs i where i.id = import_creators.run) = any (r.shown_by)
    from private.import_rows r
    where r.legacy_table = 'properties' and r.id = p.id
  )
$$;

comment on function private.import_creators is
  'Sets the creator of each property that this source has brought and that has none: the borrower of the first '
  'application among these rows that names it, also where the application is rejected.';
