create function private.thinker_obligations(uid text)
returns setof text
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
  thinker constant uuid := private.thinker_id(thinker_obligations.uid);
  is_user boolean := false;
begin
  return query
    select format('booking %s, which ends at %s', b.id, private.iso(b.slot_end))
    from public.voucher_bookings b
    where thinker in (b.issuer_id, b.holder_id) and b.status = 'booked' and b.slot_end > now()
    order by b.slot_end, b.id;
  return query
    select format('voucher %s, reserved for %s', v.id, private.uid_of(v.issued_to))
    from public.vouchers v
    where v.issuer_id = thinker and v.issued_to <> thinker and v.status = 'issued' and v.valid_until > now()
    order by v.id;
  return query
    select format('mortgage offer %s, which is open', o.id)
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where o.lender_id = thinker and o.status = 'open' and a.status in ('open', 'offered')
    order by o.id;
  return query
    select format('mortgage contract %s, which not all have signed', c.id)
    from public.mortgage_contracts c
    join public.mortgage_offers o on o.id = c.offer_id
    join public.mortgage_applications a on a.id = o.application_id
    where thinker in (o.lender_id, a.borrower_id) and c.status = 'draft'
    order by c.id;
  return query
    select format(
      '%s %s (minor units) that %s owes to %s, in %s', sum(r.cents), r.currency, private.uid_of(r.payer_id),
      private.uid_of(r.beneficiary_id), coalesce('settlement ' || r.settlement_id, 'no settlement yet')
    )
    from private.receivable_facts r
    where thinker in (r.payer_id, r.beneficiary_id) and r.status <> 'written_off'
    group by r.beneficiary_id, r.payer_id, r.currency, r.settlement_id
    having sum(r.cents) <> 0
    order by 1;
  return query
    select format('fee %s, of which it is the beneficiary', f.id)
    from public.fees f
    where f.beneficiary_id = thinker and f.active
    order by f.id;
  return query
    select format('a token that may be valid until %s', private.iso(seen.at + interval '1 hour'))
    from (
      select greatest(t.verified_at, s.last_seen_at) as at
      from public.thinkers t
      left join public.presence_sessions s on s.thinker_id = t.id
      where t.id = thinker
    ) seen
    where seen.at > now() - interval '1 hour';

  -- plain PostgreSQL has no auth.users
  if to_regclass('auth.users') is not null then
    execute 'select exists (select from auth.users u where u.id = $1)' into is_user using thinker;
  end if;
  if is_user then
    return next 'the user of Supabase Auth, who could sign in again';
  end if;
end;
$$;

comment on function private.thinker_obligations is
  'What has to end before a thinker can be erased, each as a text for the operator: bookings that are not over, '
  'vouchers reserved for others, open offers, contracts in draft, what it owes or is owed, fees of which it is the '
  'beneficiary, and ways to act in its name: a token, a user of Supabase Auth.';
