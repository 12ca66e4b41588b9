create function private.import_write(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  columns   constant text[] := private.import_columns(import_write.legacy_table);
  names     constant text := (select string_agg(format('%I', c.name), ', ') from unnest(columns) as c (name));
  of_stored constant text := private.import_digest(import_write.legacy_table, 't');
  of_mapped constant text := private.import_digest(import_write.legacy_table, 'm');
  key       constant text := private.import_key(import_write.legacy_table, 's.id');
  fresh     integer[];
  known     integer[];
  changed   text[];
  given     text[];
  refusal   text;
  origin    text;
  is_stored boolean;
begin
  perform private.import_refuse(import_write.legacy_table, import_write.ns, import_write.run);
  perform private.import_prerequisites(import_write.legacy_table, import_write.ns, import_write.run);

  select array_agg(s.n) filter (where not s.is_known), array_agg(s.n) filter (where s.is_known)
  into fresh, known
  from private.import_staging s
  where s.n = any (import_write.ns);

  if known is not null then
    select min(r.source) into origin
    from private.import_staging s
    join private.import_rows r on r.legacy_table = import_write.legacy_table and r.id = s.id
    where s.n = any (known)
      and r.source <> (select i.source from private.import_runs i where i.id = import_write.run);
    -- two sources may show one store, and a source may write the same in another way than before
    execute format(
      'with same as (
         update private.import_staging s
         set is_unchanged = true
         from private.import_%s m
         join private.import_rows r on r.legacy_table = $2 and r.id = m.legacy_id
         join private.import_runs i on i.id = $1
         where s.n = m.n and m.n = any ($3) and %s = r.digest
           and (r.source <> i.source or r.run <> i.id and not exists (
             select from private.import_rejects j
             where j.source = r.source and j.legacy_table = r.legacy_table and j.hash = s.hash
               and j.reason in (''id_taken'', ''id_twice'')
           ))
         returning s.n, s.id, s.hash, i.source
       ),
       kept as (
         update private.import_rows r
         set shown_by = case when s.source = any (r.shown_by) then r.shown_by else r.shown_by || s.source end,
           hash = case r.source when s.source then s.hash else r.hash end
         from same s
         where r.legacy_table = $2 and r.id = s.id
       )
       select array(select n from unnest($3) as n except select n from same)',
      import_write.legacy_table, of_mapped
    ) into known using import_write.run, import_write.legacy_table, known;

    execute format(
      'select min(case
         when r.run = $1 or r.source <> i.source or exists (
           select from private.import_rejects j
           where j.source = r.source and j.legacy_table = r.legacy_table and j.hash = s.hash
             and j.reason in (''id_taken'', ''id_twice'')
         ) then ''id_twice''
         when t.id is null or %s <> r.digest then ''changed_here''
       end)
       from private.import_staging s
       join private.import_runs i on i.id = $1
       join private.import_rows r on r.legacy_table = $2 and r.id = s.id
       left join public.%I t on t.id = %s
       where s.n = any ($3)',
      of_stored, import_write.legacy_table, key
    ) into refusal using import_write.run, import_write.legacy_table, known;
    if refusal is not null then
      raise sqlstate 'IM409' using message = refusal, detail = coalesce('imported from ' || origin, '');
    end if;

    -- only what differs: most columns of bookings never change
    execute format(
      'select array_remove(array[%s], null), array_remove(array[%s], null)
       from private.import_%s m
       join public.%I t on t.id = m.id
       where m.n = any ($1)',
      (
        select string_agg(format('case when bool_or(t.%1$I is distinct from m.%1$I) then %1$L end', c.name), ', ')
        from unnest(columns) as c (name)
      ),
      (
        select coalesce(
          string_agg(
            format('case when bool_or(t.%1$I is distinct from m.%1$I and m.%1$I is not null) then %1$L end', a.attname),
            ', '
          ),
          'null::text'
        )
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
        where c.conrelid = to_regclass(format('public.%I', import_write.legacy_table)) and c.contype = 'f'
          and a.attname = any (columns)
          -- who booked a voucher
          and (import_write.legacy_table, a.attname) <> ('vouchers', 'holder_id')
      ),
      import_write.legacy_table, import_write.legacy_table
    ) into changed, given using known;
    if given <> '{}' then
      -- no server ever gave a row to another: this one is of another store
      raise sqlstate 'IM409' using message = 'append_only', detail = array_to_string(given, ', ');
    end if;
    if changed <> '{}' then
      execute format(
        'update public.%I t set %s from private.import_%s m where m.n = any ($1) and t.id = m.id',
        import_write.legacy_table,
        (select string_agg(format('%1$I = m.%1$I', c.name), ', ') from unnest(changed) as c (name)),
        import_write.legacy_table
      ) using known;
    end if;
    execute format(
      'with plain as materialized (
         select m.* from private.import_%s m where m.n = any ($3)
       ),
       mapped as materialized (
         select m.*, %s as digest from plain m
       ),
       kept as (
         update private.import_rows r
         set hash = m.hash, digest = m.digest, amount = m.exact_amount, currency = m.exact_currency, run = $1,
           imported_at = now()
         from mapped m
         where r.legacy_table = $2 and r.id = m.legacy_id
       )
       select count(*) = count(t.id)
       from mapped m
       left join public.%I t on t.id = m.id and %s = m.digest',
      import_write.legacy_table, of_mapped, import_write.legacy_table, of_stored
    ) into is_stored using import_write.run, import_write.legacy_table, known;
    if not is_stored then
      raise sqlstate 'IM409' using message = 'stored_differently';
    end if;
  end if;

  if fresh is not null then
    execute format(
      -- in two steps, because the digest would compute every column again
      'with plain as materialized (
         select m.* from private.import_%s m where m.n = any ($3)
       ),
       mapped as materialized (
         select m.*, %s as digest from plain m order by m.n
       ),
       stored as (
         insert into public.%I as t (%s) select %s from mapped returning %s as digest
       ),
       kept as (
         insert into private.import_rows (legacy_table, id, source, shown_by, hash, digest, amount, currency, run)
         select $2, m.legacy_id, i.source, array[i.source], m.hash, m.digest, m.exact_amount, m.exact_currency, i.id
         from mapped m
         cross join (select i.id, i.source from private.import_runs i where i.id = $1) i
         returning digest
       )
       select s.rows = cardinality($3) and k.rows = s.rows and k.digests = s.digests
       from (select count(*) as rows, bit_xor(digest) as digests from stored) s
       cross join (select count(*) as rows, bit_xor(digest) as digests from kept) k',
      import_write.legacy_table, of_mapped, import_write.legacy_table, names, names, of_stored
    ) into is_stored using import_write.run, import_write.legacy_table, fresh;
    if not is_stored then
      raise sqlstate 'IM409' using message = 'stored_differently';
    end if;
    if import_write.legacy_table = 'voucher_bookings' then
      perform private.import_charges(fresh, import_write.run);
    end if;
  end if;
end;
$$;

comment on function private.import_write is
  'Writes the rows of a batch with these numbers, new ones and known ones whose content is another by now, all or '
  'none. Marks as unchanged what becomes the same as what a source has brought. Compares the hash of what was mapped '
  'with that of what was stored. '
  'Refuses with changed_here, id_twice, stored_differently, and what the tables refuse.';
