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
begin
  perform private.import_people(ns);
  with refused as (
    delete from private.import_staging s where s.n = any (ns) returning s.id, s.hash
  )
  insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, run, resolved_at)
  select i.source, import_refuse_erased.legacy_table, left(r.id, 500), r.hash, '{}', 'thinker_erased', i.id, now()
  from refused r
  cross join private.import_runs i
  where i.id = import_refuse_erased.run
  on conflict on constraint a_row_is_rejected_once do update
  set content = excluded.content, reason = excluded.reason, detail = null, run = excluded.run,
    resolved_at = excluded.resolved_at;
end;
$$;

comment on function private.import_refuse_erased is
  'Takes the rows that name an erased thinker (private.erased_uids) out of a batch. Each is remembered by its hash, '
  'without its content, as a reject that is settled: a later run knows it.';
