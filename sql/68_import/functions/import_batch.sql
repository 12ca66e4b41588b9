create function private.import_batch(legacy_table text, run integer, as_one boolean)
returns table (written bigint, updated bigint, unchanged bigint, rejected bigint)
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
-- the rows of a batch are few, those of the tables many: by index
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
-- a plan that must read a table whole seems expensive then, and would be compiled
set jit = off
as $$
declare
  staged bigint;
  ns     integer[];
begin
  perform set_config('portal.import', 'on', true);
  -- one lock for all rows: see tg_voucher_bookings__copy_no_overlap
  perform pg_advisory_xact_lock_shared(private.lock_number('no_overlap_of_imported'));

  select count(*) into staged from private.import_staging;

  -- an imported person is nobody's to claim, also where somebody has named its uid before; rejected rows count, too. Of
  -- one that was released only new rows count: the same file again takes back no release
  if exists (select from private.claims c where c.session_id is null) then
    delete from private.claims c
    using (
      select
        private.thinker_id(u.uid) as id,
        bool_or(
          not exists (
            select from private.import_rows r where r.legacy_table = import_batch.legacy_table and r.id = s.id
          ) and not exists (
            select from private.import_rejects j
            where j.legacy_table = import_batch.legacy_table and j.hash = s.hash
              and j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
          )
        ) as is_new
      from private.import_staging s
      cross join lateral private.import_uids(s.content) as u (uid)
      group by u.uid
    ) named
    where c.thinker_id = named.id and c.session_id is null and (c.claimed_at is null or named.is_new);
  end if;

  -- subqueries, because a join may begin with all rows that were ever imported
  update private.import_rows r
  set shown_by = r.shown_by || (select i.source from private.import_runs i where i.id = import_batch.run)
  where r.legacy_table = import_batch.legacy_table
    and r.id = any (
      array(
        select s.id
        from private.import_staging s
        where s.hash = (
          select o.hash from private.import_rows o where o.legacy_table = import_batch.legacy_table and o.id = s.id
        )
      )
    )
    and (select i.source from private.import_runs i where i.id = import_batch.run) <> all (r.shown_by);
  delete from private.import_staging s
  where s.hash = (
    select r.hash from private.import_rows r where r.legacy_table = import_batch.legacy_table and r.id = s.id
  );
  -- a row whose people are not erased any more is a new one
  delete from private.import_rejects r
  where r.id = any (
    array(
      select (
        select j.id from private.import_rejects j
        where j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
          and j.legacy_table = import_batch.legacy_table and j.hash = s.hash and j.reason = 'thinker_erased'
          and not exists (
            select from private.import_names(import_batch.legacy_table, s.content) as u (uid)
            join private.erased_uids e on e.hash = sha256(convert_to(u.uid, 'UTF8'))
          )
      )
      from private.import_staging s
    )
  );
  delete from private.import_staging s
  where s.mends is null and exists (
    select from private.import_rejects j
    where j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
      and j.legacy_table = import_batch.legacy_table and j.hash = s.hash and j.resolved_at is not null
    offset 0
  );
  select staged - count(*) into unchanged from private.import_staging;
  staged := staged - unchanged;

  if exists (select from private.erased_uids) then
    perform private.import_refuse_erased(import_batch.legacy_table, import_batch.run);
  end if;

  update private.import_staging s
  set is_known = true
  where (select true from private.import_rows r where r.legacy_table = import_batch.legacy_table and r.id = s.id);

  ns := array(select s.n from private.import_staging s order by s.n);
  if ns <> '{}' and import_batch.as_one then
    perform private.import_write(import_batch.legacy_table, ns, import_batch.run);
  elsif ns <> '{}' then
    perform private.import_range(import_batch.legacy_table, ns, import_batch.run);
  end if;

  select count(*) filter (where not s.is_known), count(*) filter (where s.is_known and not s.is_unchanged),
    unchanged + count(*) filter (where s.is_unchanged), staged - count(*)
  into written, updated, unchanged, rejected
  from private.import_staging s;

  update private.import_rejects j
  set resolved_at = now()
  where j.resolved_at is null and j.id = any (array(select s.mends from private.import_staging s));
  update private.import_rejects j
  set resolved_at = now()
  where j.resolved_at is null and j.legacy_table = import_batch.legacy_table
    and j.row_id = any (array(select s.id from private.import_staging s))
    -- another row of this id, or the row that another source has under it, stays what it is
    and (
      j.hash = any (array(select s.hash from private.import_staging s))
      or j.reason not in ('id_taken', 'id_twice')
      and j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
    );

  perform set_config('portal.import', '', true);
  truncate private.import_staging;
  return next;
end;
$$;

comment on function private.import_batch is
  'Imports the rows of private.import_staging into a table, and empties it. Rows that were imported before and have '
  'the same content, from this source or another, are left as they are. Returns how many were written, updated, '
  'unchanged and rejected. With as_one a row that is refused makes the batch fail at once: to find such rows takes '
  'long, and others wait meanwhile for what the batch has locked.';
