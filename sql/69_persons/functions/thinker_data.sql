create function private.thinker_data(uid text)
returns table (section text, item jsonb)
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
  thinker constant uuid := private.thinker_id(thinker_data.uid);
begin
  return query select 'thinkers', to_jsonb(t) from public.thinkers t where t.id = thinker;
  return query select 'daily_use', to_jsonb(d) from private.daily_use d where d.thinker_id = thinker;
  return query
    -- the id of a session is in a cookie, and proves it
    select 'claims', to_jsonb(c) - 'session_id'
    from private.claims c
    where c.thinker_id = thinker
    order by c.claimed_at;
  return query
    select 'idempotency_keys', to_jsonb(k) - 'fingerprint'
    from private.idempotency_keys k
    where k.actor = thinker::text
    order by k.created_at, k.key;
  return query
    select 'presence_sessions', to_jsonb(s) from public.presence_sessions s where s.thinker_id = thinker;
  return query
    select 'rooms', to_jsonb(r) from public.rooms r where r.owner_id = thinker order by r.created_at, r.id;

  return query
    -- strangers may reserve any number of vouchers with long texts, of which the thinker has booked none
    select 'vouchers', to_jsonb(v) - case
      when v.issuer_id <> thinker and not exists (
        select from public.voucher_bookings b where b.voucher_id = v.id and b.holder_id = thinker
      ) then '{description,terms,allowed_slots}'::text[]
      else '{}'
    end || jsonb_build_object(
      'issuer_uid', private.uid_of(v.issuer_id),
      -- holders do not see each other
      'holder_id', case when thinker in (v.issuer_id, v.holder_id) then v.holder_id end,
      'holder_uid', case when thinker in (v.issuer_id, v.holder_id) then private.uid_of(v.holder_id) end
    )
    from public.vouchers v
    where thinker in (v.issuer_id, v.holder_id, v.issued_to)
    order by v.created_at, v.id;
  return query
    select 'voucher_bookings', private.booking_json(b)
    from public.voucher_bookings b
    where thinker in (b.issuer_id, b.holder_id)
    order by b.created_at, b.id;

  return query
    select 'contracts', private.contract_json(c)
    from public.contracts c
    where c.created_by = thinker
    order by c.created_at, c.id;
  return query
    select 'contract_links', to_jsonb(l)
    from public.contracts c
    join public.contract_links l on l.contract_id = c.id
    where c.created_by = thinker
    order by l.created_at, l.id;

  return query select 'properties', to_jsonb(p) from public.properties p where p.created_by = thinker order by p.id;
  return query
    select 'mortgage_applications', private.application_json(a)
    from public.mortgage_applications a
    where a.borrower_id = thinker
    order by a.created_at, a.id;
  return query
    select 'mortgage_offers', private.offer_json(o)
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where thinker in (o.lender_id, a.borrower_id)
    order by o.created_at, o.id;
  return query
    select 'mortgage_contracts', private.mortgage_contract_json(c)
    from public.mortgage_contracts c
    join public.mortgage_offers o on o.id = c.offer_id
    join public.mortgage_applications a on a.id = o.application_id
    where thinker in (o.lender_id, a.borrower_id)
    order by c.created_at, c.id;

  return query
    select 'transfers', private.transfer_json(t)
    from public.transfers t
    where t.thinker_id = thinker
    order by t.created_at, t.id;

  return query select 'fees', to_jsonb(f) from public.fees f where f.beneficiary_id = thinker order by f.id;
  return query
    select 'fee_versions', to_jsonb(f)
    from public.fee_versions f
    where f.beneficiary_id = thinker
    order by f.valid_from, f.id;
  return query
    select 'fee_events', to_jsonb(e) || jsonb_build_object(
      'beneficiary_uid', private.uid_of(e.beneficiary_id), 'payer_uid', private.uid_of(e.payer_id)
    )
    from public.fee_events e
    where thinker in (e.beneficiary_id, e.payer_id)
    order by e.created_at, e.id;
  return query
    -- a payer sees the own part of a settlement (public.get_statement)
    select 'settlements', case
      when s.beneficiary_id = thinker then private.settlement_json(s)
      else private.settlement_statement(s, thinker, null, 1) - 'items'
    end
    from public.settlements s
    where s.beneficiary_id = thinker or s.id in (
      select l.settlement_id
      from public.fee_events e
      join public.settlement_lines l on l.fee_event_id = e.id
      where e.payer_id = thinker
    )
    order by s.created_at, s.id;
  return query
    select 'settlement_lines', to_jsonb(l)
    from public.settlement_lines l
    join public.fee_events e on e.id = l.fee_event_id
    where thinker in (e.beneficiary_id, e.payer_id)
    order by l.settlement_id, l.fee_event_id;
  return query
    select 'settlement_payments', to_jsonb(p) || jsonb_build_object('payer_uid', private.uid_of(p.payer_id))
    from public.settlement_payments p
    join public.settlements s on s.id = p.settlement_id
    where thinker in (p.payer_id, s.beneficiary_id)
    order by p.created_at, p.id;
  return query
    select 'invoice_numbers', to_jsonb(n)
    from private.invoice_numbers n
    where n.beneficiary_id = thinker
    order by n.year;

  return query
    select 'import_rejects', to_jsonb(j) - 'hash'
    from private.import_rejects j
    where thinker_data.uid in (select private.import_uids(j.content))
    order by j.created_at, j.id;
  return query
    select 'telemetry_events', to_jsonb(t)
    from public.telemetry_events t
    where t.actor_id = thinker
    order by t.created_at, t.id;
  return query
    select 'events', case
      when e.actor_id = thinker then private.event_json(e)
      -- what others changed of the thinker, without their names
      else to_jsonb(e) - 'actor_id' || jsonb_build_object('meta', e.meta - 'by')
    end
    from public.events e
    where e.actor_id = thinker or (e.subject_type = 'thinker' and e.subject_id = thinker_data.uid)
    order by e.created_at, e.id;
end;
$$;

comment on function private.thinker_data is
  'What is stored about a thinker, for portal export thinker: each row that refers to it as an item of the section '
  'with the name of its table. Others appear in it as the API shows them to the thinker. docs/privacy.md says what is '
  'left out, and why.';
