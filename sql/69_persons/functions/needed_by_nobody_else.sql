create function private.needed_by_nobody_else(
  thinker       uuid,
  out rooms     text[],
  out vouchers  text[],
  out documents text[]
)
language plpgsql
stable
set search_path = ''
as $$
begin
  rooms := array(
    select r.id
    from public.rooms r
    where r.owner_id = thinker
      and r.meta ->> 'source' is distinct from 'mortgage'
      and not exists (
        select from public.presence_sessions s where s.room_id = r.id and s.thinker_id <> thinker
      )
  );
  vouchers := array(
    select v.id
    from public.vouchers v
    where v.issuer_id = thinker
      and v.status in ('issued', 'cancelled', 'expired')
      and not exists (select from public.voucher_bookings b where b.voucher_id = v.id)
  );
  documents := array(
    select c.storage_url
    from public.contracts c
    where c.created_by = thinker
      and not exists (select from public.mortgage_contracts m where m.contract_id = c.id)
      and not exists (
        select from public.contract_links l
        where l.contract_id = c.id and not (
          coalesce(l.voucher_id = any (vouchers), true) and coalesce(l.room_id = any (rooms), true)
        )
      )
  );
end;
$$;

comment on function private.needed_by_nobody_else is
  'What of a thinker concerns nobody else: rooms in which nobody else is, vouchers that nobody booked or holds, and '
  'documents (their paths) that are linked to these only.';
