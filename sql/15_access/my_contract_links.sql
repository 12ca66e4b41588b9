create function private.my_contract_links(of_vouchers text[] default null)
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- with offset 0 the links of a document or voucher are sought by its id: the planner, which has no statistics of
  -- these ids, would begin with all links
  return query
    select l.id
    from public.contracts c
    cross join lateral (select l.id from public.contract_links l where l.contract_id = c.id offset 0) l
    where c.created_by = auth.uid();
  return query
    select l.id
    from public.vouchers v
    cross join lateral (select l.id from public.contract_links l where l.voucher_id = v.id offset 0) l
    where v.issuer_id = auth.uid() and (of_vouchers is null or v.id in (select unnest(of_vouchers)));
  -- a voucher may have several holders, at once or in turn. Each sees the documents that the issuer linked before the
  -- first booking or while this holder was the only one with a booking; never those of another holder
  return query
    -- materialized: the bookings of a voucher are read once, not once for each of its documents
    with held as materialized (
      select
        v.id,
        v.issuer_id,
        v.issued_to,
        min(b.created_at) as first_booked,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id = auth.uid()) as mine,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id <> auth.uid()) as others,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (
          where b.holder_id = auth.uid() and exists (
            select from private.import_rows r where r.legacy_table = 'voucher_bookings' and r.id = b.id
          )
        ) as imported,
        -- the voucher or a booking of it is not as its old store has it
        exists (
          select from private.import_rejects j
          where (j.resolved_at is null or j.reason = 'thinker_erased')
            and (
              j.legacy_table = 'voucher_bookings' and left(j.content ->> 'voucher_id', 256) = v.id
              or j.legacy_table = 'vouchers' and j.row_id = v.id
            )
            and j.source = any (
              (select i.shown_by from private.import_rows i where i.legacy_table = 'vouchers' and i.id = v.id)::text[]
            )
        ) as is_unsure
      from public.vouchers v
      -- an issuer could book with itself as often as it likes
      left join public.voucher_bookings b on b.voucher_id = v.id and b.holder_id <> v.issuer_id
      where v.id in (
          select h.id
          from private.held_vouchers() h (id)
          where of_vouchers is null or h.id in (select unnest(of_vouchers))
        )
        and (v.issued_to is null or v.issued_to = auth.uid())
        and exists (select from public.contract_links l where l.voucher_id = v.id offset 0)
      group by v.id
    )
    select l.id
    from held h
    cross join lateral (select l.* from public.contract_links l where l.voucher_id = h.id offset 0) l
    where exists (
        select from public.contracts c where c.id = l.contract_id and c.created_by = h.issuer_id offset 0
      )
      -- the imported rows say whose the voucher was when an imported document was linked, if none is missing
      and case
        when exists (
          select from private.import_rows r
          where r.legacy_table = 'contract_links' and private.import_uuid(r.id) = l.id
        ) then (h.issued_to = auth.uid() or coalesce(h.imported @> l.created_at, false)) and not h.is_unsure
        else h.issued_to = auth.uid() or h.first_booked is null or h.first_booked > l.created_at
          or coalesce(h.mine @> l.created_at, false)
      end
      and not coalesce(h.others @> l.created_at, false);
  return query select l.id from public.contract_links l where l.room_id in (select private.my_rooms());
end;
$$;

comment on function private.my_contract_links is
  'The ids of the document links that the actor may see: those of its own documents, of vouchers that it issued or '
  'holds, and of its rooms. Strangers may reserve any number of vouchers for one thinker: where only some vouchers '
  'matter, of_vouchers names them, and links that are seen as those of other vouchers may be missing. '
  'May contain duplicates.';

grant execute on function private.my_contract_links to authenticated;
