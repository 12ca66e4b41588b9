create function private.erase_from_log(uid text, pseudonym text, since timestamptz)
returns jsonb
language plpgsql
volatile
set search_path = ''
-- events are joined with what is the thinker's, which may both be a million rows
set enable_nestloop = off
as $$
declare
  thinker   constant uuid := private.thinker_id(erase_from_log.uid);
  successor constant uuid := private.thinker_id(erase_from_log.pseudonym);
  kept      constant text[] := private.kept_in_log();
  -- JSON as PostgreSQL writes it: only the quote before a key follows a brace or a space and is followed by a word
  by_id     constant text := format(
    '([{ ]"(?:%s)": )"%s"',
    (
      select string_agg(distinct a.attname, '|')
      from pg_catalog.pg_constraint f
      join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
      where f.contype = 'f' and f.confrelid = 'public.thinkers'::regclass
    ),
    thinker
  );
  by_uid    constant text := format(
    '[{ ]"[a-z_]+_uid": %s', regexp_replace(to_json(erase_from_log.uid)::text, '([][\\.*+?(){}^$|])', '\\\1', 'g')
  );
  deleted   bigint;
  emptied   bigint;
  renamed   bigint;
  changed   bigint;
begin
  delete from public.events e
  where e.created_at >= erase_from_log.since and (
    (e.actor_id = thinker and (e.type like 'presence.%' or e.type = 'telemetry.event'))
    or (e.subject_type = 'presence_session' and e.subject_id in (
      select s.id::text from public.presence_sessions s where s.thinker_id = thinker
    ))
  );
  get diagnostics deleted = row_count;

  update public.events e
  set meta = e.meta - array(select k from jsonb_object_keys(e.meta) k where k <> all (kept))
  -- the prices before and after are no free text either
  where e.created_at >= erase_from_log.since and e.meta - kept <> '{}' and e.type <> 'fee.changed' and (
    e.actor_id = thinker
    -- it had another uid before or after
    or erase_from_log.uid in (e.meta #>> '{before,public_id}', e.meta #>> '{after,public_id}')
  );
  get diagnostics emptied = row_count;

  update public.events e
  set meta = e.meta - array(select k from jsonb_object_keys(e.meta) k where k <> all (kept))
  from (
    select 'thinker' as subject_type, erase_from_log.uid as subject_id
    union all select 'voucher', v.id from public.vouchers v where v.issuer_id = thinker
    union all
    select 'voucher_booking', b.id
    from public.voucher_bookings b
    where thinker in (b.issuer_id, b.holder_id)
    union all select 'room', r.id from public.rooms r where r.owner_id = thinker
    union all select 'contract', c.id::text from public.contracts c where c.created_by = thinker
    union all
    select 'contract_link', l.id::text
    from public.contract_links l
    join public.contracts c on c.id = l.contract_id
    where c.created_by = thinker
    union all select 'property', p.id from public.properties p where p.created_by = thinker
    union all
    select 'mortgage_application', a.id from public.mortgage_applications a where a.borrower_id = thinker
    union all select 'mortgage_offer', o.id from public.mortgage_offers o where o.lender_id = thinker
    union all select 'transfer', t.id from public.transfers t where t.thinker_id in (thinker, successor)
  ) own
  where e.created_at >= erase_from_log.since and e.meta - kept <> '{}' and e.type <> 'fee.changed'
    and e.subject_type = own.subject_type and e.subject_id = own.subject_id;
  get diagnostics changed = row_count;
  emptied := emptied + changed;

  update public.events e
  set subject_id = erase_from_log.pseudonym
  where e.created_at >= erase_from_log.since and e.subject_type = 'thinker' and e.subject_id = erase_from_log.uid;
  get diagnostics renamed = row_count;

  -- the changed columns of a row
  update public.events e
  set meta = regexp_replace(e.meta::text, by_id, format('\1"%s"', successor), 'g')::jsonb
  where e.created_at >= erase_from_log.since and e.meta ?| '{before,after}' and e.meta::text ~ by_id;
  get diagnostics changed = row_count;
  renamed := renamed + changed;

  -- an operator who is no thinker may have the same name
  update public.events e
  set meta = e.meta || (
    select jsonb_object_agg(k, erase_from_log.pseudonym)
    from unnest('{beneficiary,by,lenderUid,payer}'::text[]) k
    where e.meta ->> k = erase_from_log.uid and (k <> 'by' or e.actor_id = thinker)
  )
  where e.created_at >= erase_from_log.since and (
    erase_from_log.uid in (e.meta ->> 'beneficiary', e.meta ->> 'lenderUid', e.meta ->> 'payer')
    or (e.actor_id = thinker and e.meta ->> 'by' = erase_from_log.uid)
  );
  get diagnostics changed = row_count;
  renamed := renamed + changed;
  -- the answer to a request, not what the pseudonym is: a stranger may have named it anywhere in its JSON
  delete from private.idempotency_keys k
  where k.created_at >= erase_from_log.since and k.actor <> thinker::text
    and (k.response::text ~ by_id or k.response::text ~ by_uid);
  get diagnostics changed = row_count;
  return coalesce(
    (
      select jsonb_object_agg(c.relation, c.rows)
      from (
        values
          ('events', jsonb_build_object(
            'deleted', nullif(deleted, 0), 'emptied', nullif(emptied, 0), 'pseudonym', nullif(renamed, 0)
          )),
          ('idempotency_keys', jsonb_build_object('deleted', nullif(changed, 0)))
      ) as n (relation, rows)
      cross join lateral (select n.relation, jsonb_strip_nulls(n.rows) as rows) c
      where c.rows <> '{}'
    ),
    '{}'
  );
end;
$$;

comment on function private.erase_from_log is
  'Erases a thinker from the events, and deletes the stored responses to others that name it, that are not older than '
  '`since`, for private.erase_thinker. Looks at values of the keys that hold a uid or an id of a thinker, at no other '
  'text, as a uid may be any word. Returns how many rows were deleted, emptied, or now refer to the pseudonym.';
