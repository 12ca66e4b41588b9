create function private.import_refuse_erased(legacy_table text, run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  ns constant integer[] := array(
    select s.n
    from private.import_staging s
    where exists (
      select from private.import_names(import_refuse_erased.legacy_table, s.content) as u (uid)
      join private.erased_uids e on e.hash = sha256(convert_to(u.uid, 'UTF8'))
    )
  );
  origin constant text := (select i.source from private.import_runs i where i.id = import_refuse_erased.run);
  firsts integer[];
begin
  perform private.import_people(ns);
  if import_refuse_erased.legacy_table = 'mortgage_applications' then
    firsts := array(
      select s.n
      from (
        select distinct on (s.content ->> 'property_id') s.n from private.import_staging s
        order by s.content ->> 'property_id', s.n
      ) s
      where s.n = any (ns)
    );
    perform private.import_creators(firsts, import_refuse_erased.run);
    -- the next applicant must not read what an erased borrower has named
    update public.properties p
    set address = null, meta = '{}'
    where p.created_by is null and p.id = any (
      array(select s.content ->> 'property_id' from private.import_staging s where s.n = any (firsts))
    ) and (
      select origin = any (r.shown_by)
      from private.import_rows r
      where r.legacy_table = 'properties' and r.id = p.id
    );
  end if;
  with refused as (
    delete from private.import_staging s where s.n = any (ns) returning s.id, s.hash, s.content
  )
  insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, run, resolved_at)
  -- a list may have a row twice
  select distinct on (r.hash) origin, import_refuse_erased.legacy_table, left(r.id, 500), r.hash,
    private.import_left(import_refuse_erased.legacy_table, r.content), 'thinker_erased',
    import_refuse_erased.run, now()
  from refused r
  on conflict on constraint a_row_is_rejected_once do update
  set content = excluded.content, reason = excluded.reason, detail = null, run = excluded.run,
    resolved_at = excluded.resolved_at;
end;
$$;

comment on function private.import_refuse_erased is
  'Takes the rows that name an erased thinker (private.erased_uids) out of a batch. Each is remembered by its hash, '
  'without its content (private.import_left), as a reject that is settled: a later run knows it.';
