create function private.erase_thinker(uid text)
returns jsonb
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '10s'
as $$
declare
  thinker     constant uuid := private.thinker_id(erase_thinker.uid);
  pseudonym   constant text := 'erased-' || private.new_suffix();
  successor   constant uuid := private.thinker_id(pseudonym);
  rooms       text[];
  vouchers    text[];
  documents   text[];
  counts      jsonb;
  step        record;
  changed     bigint;
  seen        xid;
  next        xid;
  alone       boolean := false;
begin
  -- one erasure at a time
  perform pg_advisory_xact_lock(private.lock_number('erase_thinker'));
  -- nor while a batch of an import that has asked for erased uids may still write this one; before any row is locked
  perform pg_advisory_xact_lock(private.lock_number('import_batch'));
  perform private.require_erasable(erase_thinker.uid);

  perform set_config('portal.erasure', pg_current_xact_id()::text, true);

  -- reads the whole log, and then what others wrote in the meantime, while they use the vouchers
  seen := pg_snapshot_xmin(pg_current_snapshot())::xid;
  counts := private.erase_from_log(erase_thinker.uid, pseudonym, '-infinity');
  next := pg_snapshot_xmin(pg_current_snapshot())::xid;
  perform private.erase_from_log(erase_thinker.uid, pseudonym, private.log_since(seen));

  -- before anybody waits for a row: each is read whole, and may be large. An import would wait before it adds one
  update private.import_rejects j
  set content = case when j.resolved_at is null then private.import_left(j.legacy_table, j.content) else '{}' end,
    reason = case when j.resolved_at is null then 'thinker_erased' else j.reason end,
    detail = null,
    resolved_at = coalesce(j.resolved_at, now())
  where case
    -- without escapes JSON has the uid as it is: most rows need not be read as JSON, which takes long
    when strpos(j.content::text, btrim(to_json(erase_thinker.uid)::text, '"')) > 0
      or strpos(j.content ->> 'meta', '\') > 0
      then erase_thinker.uid in (select private.import_names(j.legacy_table, j.content))
  end;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'import_rejects', 'emptied', changed);

  insert into public.thinkers (id, public_id, created_at)
  select successor, pseudonym, t.created_at from public.thinkers t where t.id = thinker;
  -- what no call of others waits for
  counts := private.erase_own_rows(counts, thinker, successor);

  -- others lock these rows in several orders: all at once, or none
  for attempt in 1..500 loop
    begin
      -- calls of strangers, one after the other, may hold them for ever: every two seconds no call that writes begins
      -- (private.replay_response) until those of before have ended, and this has its locks
      if attempt % 100 = 0 then
        perform pg_advisory_lock(private.lock_number('write'));
        alone := true;
      end if;
      perform from private.daily_use d where d.thinker_id = thinker for update nowait;
      perform from public.presence_sessions s where s.thinker_id = thinker for update nowait;
      perform
      from public.vouchers v
      where v.id = any (array(
        select o.id from public.vouchers o where thinker in (o.issuer_id, o.holder_id, o.issued_to)
        union
        -- a cancelled booking never changes again
        select b.voucher_id
        from public.voucher_bookings b
        where thinker in (b.issuer_id, b.holder_id) and b.status = 'booked'
      ))
      for update nowait;
      perform
      from public.mortgage_applications a
      where a.id = any (array(
        select o.id from public.mortgage_applications o where o.borrower_id = thinker
        union
        select o.application_id from public.mortgage_offers o where o.lender_id = thinker
      ))
      for update nowait;
      -- new rows that refer to it wait
      perform from public.thinkers t where t.id = thinker for update nowait;
      exit;
    exception when others or query_canceled then
      -- a lock of the session, because others write again before this transaction ends
      if alone then
        perform pg_advisory_unlock(private.lock_number('write'));
        alone := false;
      end if;
      -- lock_not_available
      if sqlstate <> '55P03' or attempt = 500 then
        raise;
      end if;
      perform pg_sleep(0.02);
    end;
  end loop;
  if alone then
    perform pg_advisory_unlock(private.lock_number('write'));
  end if;

  -- again: nothing changes any more
  perform private.require_erasable(erase_thinker.uid);

  -- the rest, which is little
  perform private.erase_from_log(erase_thinker.uid, pseudonym, private.log_since(next));
  counts := private.erase_own_rows(counts, thinker, successor);

  insert into private.erased_uids (hash)
  values (sha256(convert_to(erase_thinker.uid, 'UTF8')))
  on conflict do nothing;
  select * into rooms, vouchers, documents from private.needed_by_nobody_else(thinker);

  for step in
    select s.n, s.relation, s.what, s.statement
    from (
      values
        (5, 'presence_sessions', 'deleted', $s$delete from public.presence_sessions s where s.thinker_id = $1$s$),
        (6, 'daily_use', 'deleted', $s$delete from private.daily_use d where d.thinker_id = $1$s$),
        (6, 'claims', 'deleted', $s$delete from private.claims c where c.thinker_id = $1$s$),
        (7, 'contracts', 'deleted', $s$delete from public.contracts c where c.storage_url = any ($7)$s$),
        (
          8, 'rooms', 'deleted',
          $s$delete from public.rooms r
           where r.id = any ($5) and not exists (select from public.contract_links l where l.room_id = r.id)$s$
        ),
        (
          9, 'vouchers', 'deleted',
          $s$delete from public.vouchers v
           where v.id = any ($6) and not exists (select from public.contract_links l where l.voucher_id = v.id)$s$
        ),
        (
          -- who uses such an id again begins a history of its own
          10, 'events', 'pseudonym',
          $s$update public.events e
           set subject_id = $4 || ':' || v.n
           from unnest($6) with ordinality v (id, n)
           where e.subject_type = 'voucher' and e.subject_id = v.id
             and not exists (select from public.vouchers o where o.id = v.id)$s$
        ),
        (
          12, 'events', 'pseudonym', -- before they are deleted
          $s$update public.events e
           set subject_id = $4 || ':' || a.n
           from (
             select a.id, row_number() over () as n
             from public.mortgage_applications a
             where a.borrower_id = $1
               and not exists (select from public.mortgage_offers o where o.application_id = a.id)
           ) a
           where e.subject_type = 'mortgage_application' and e.subject_id = a.id$s$
        ),
        (
          -- it offers nothing more; the figures know the template, an invoice names service and title
          10, 'vouchers', 'emptied',
          $s$update public.vouchers v
           set description = '', allowed_slots = '[]',
             terms = coalesce(
               (
                 select jsonb_build_object('template', t.id)
                 from public.voucher_templates t
                 where t.id = v.terms ->> 'template'
               ),
               '{}'
             ),
             status = case v.status
               when 'issued' then 'cancelled' when 'booked' then 'consumed' else v.status
             end
           where v.issuer_id = $1$s$
        ),
        (
          11, 'voucher_bookings', 'emptied',
          $s$update public.voucher_bookings b
           set cancel_reason = null
           where $1 in (b.issuer_id, b.holder_id) and b.cancel_reason is not null$s$
        ),
        (
          12, 'mortgage_applications', 'deleted',
          $s$delete from public.mortgage_applications a
           where a.borrower_id = $1
             and not exists (select from public.mortgage_offers o where o.application_id = a.id)$s$
        ),
        (
          13, 'mortgage_applications', 'emptied',
          $s$update public.mortgage_applications a
           set meta = '{}', visibility = 'private',
             status = case when a.status in ('open', 'offered') then 'rejected' else a.status end
           where a.borrower_id = $1$s$
        ),
        (
          14, 'properties', 'deleted',
          $s$delete from public.properties p
           where p.created_by = $1
             and not exists (select from public.mortgage_applications a where a.property_id = p.id)$s$
        ),
        (
          15, 'properties', 'emptied',
          $s$update public.properties p
           set address = null, meta = '{}'
           where p.created_by = $1 and not exists (
             select from public.mortgage_applications a where a.property_id = p.id and a.borrower_id <> $1
           )$s$
        ),
        (
          -- an accepted offer is a contract
          16, 'mortgage_offers', 'emptied',
          $s$update public.mortgage_offers o
           set interest = null, repayment = null, fees = null, validity = null, terms_ref = null,
             loan = jsonb_strip_nulls(
               jsonb_build_object('amount', o.loan -> 'amount', 'currency', o.loan -> 'currency')
             ),
             status = 'withdrawn'
           where o.lender_id = $1 and o.status <> 'accepted'$s$
        )
    ) as s (n, relation, what, statement)
    union all
    -- the operators of the books, where the log has a step of this thinker: a name alone may be another's login
    select
      50, o.relation, 'pseudonym',
      format(
        'update public.%I r set %I = $4 where r.%I = $2 and exists (select from public.events e'
        ' where e.actor_id = $1 and e.type = any (%L) and e.subject_id = r.%I::text and %s'
        -- what an import brought is no step here
        ' and not exists (select from private.import_rows i'
        ' where i.legacy_table = ''events'' and private.import_uuid(i.id) = e.id))',
        o.relation, o.name, o.name, o.types, o.subject, o.same
      )
    from (
      values
        ('fee_events', 'operator', '{fee.adjusted,fee.reversed}', 'id', 'true'),
        (
          -- the same prices; the event has the time at which its transaction began
          'fee_versions', 'changed_by', '{fee.changed}', 'fee_id',
          $s$e.created_at between r.valid_from - interval '1 hour' and r.valid_from
           and e.meta -> 'after' @> to_jsonb(r) - '{id,fee_id,beneficiary_id,changed_by,valid_from}'::text[]$s$
        ),
        (
          'settlement_payments', 'recorded_by', '{settlement.payment}', 'settlement_id',
          $s$e.meta ->> 'payment' = r.id::text$s$
        ),
        ('settlements', 'created_by', '{settlement.created}', 'id', 'true'),
        ('settlements', 'invoiced_by', '{settlement.invoiced}', 'id', 'true'),
        ('settlements', 'paid_by', '{settlement.paid}', 'id', 'true'),
        ('settlements', 'voided_by', '{settlement.voided}', 'id', 'true'),
        ('settlements', 'written_off_by', '{settlement.written_off}', 'id', 'true')
    ) as o (relation, name, types, subject, same)
    union all
    -- every other row that refers to the thinker; fee events follow their settlements
    select
      case c.relname when 'settlements' then 60 else 70 end, c.relname, 'pseudonym',
      format('update %s set %I = $3 where %I = $1', c.oid::regclass, a.attname, a.attname)
    from pg_catalog.pg_constraint f
    join pg_catalog.pg_class c on c.oid = f.conrelid
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = f.conkey[1]
    where f.contype = 'f' and f.confrelid = 'public.thinkers'::regclass and f.conparentid = 0
    order by 1, 2
  loop
    execute step.statement
      using thinker, erase_thinker.uid, successor, pseudonym, rooms, vouchers, documents;
    get diagnostics changed = row_count;
    counts := private.add_count(counts, step.relation, step.what, changed);
  end loop;

  -- fails if anything still refers to it
  delete from public.thinkers t where t.id = thinker;
  perform set_config('portal.erasure', '', true);
  return jsonb_build_object('pseudonym', pseudonym, 'documents', to_jsonb(documents), 'rows', counts);
end;
$$;

comment on function private.erase_thinker is
  'Erases a thinker: deletes what nobody else needs, empties free texts, and replaces the thinker by a random '
  'pseudonym in what accounts and other parties need; docs/privacy.md lists each column. Returns {pseudonym, '
  'documents (the paths of those whose bytes are to be deleted from the store), rows}: for each table how many rows '
  'were deleted, emptied, or now refer to the pseudonym. thinker_has_obligations has private.thinker_obligations as '
  'detail. '
  'Raises: thinker_not_found (404); thinker_has_obligations (409).';
