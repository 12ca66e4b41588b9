create function private.import_prerequisites(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  origin constant text := (select i.source from private.import_runs i where i.id = import_prerequisites.run);
begin
  perform private.import_thinkers(import_prerequisites.ns);

  case import_prerequisites.legacy_table
    when 'voucher_bookings' then
      -- as book_voucher and cancel_booking do: the voucher first, in one order
      perform v.id
      from public.vouchers v
      where v.id = any (
        array(
          select s.content ->> 'voucher_id' from private.import_staging s where s.n = any (import_prerequisites.ns)
        )
      )
      order by v.id
      for no key update;
    when 'mortgage_applications' then
      insert into public.properties (id, created_by)
      select distinct on (m.property_id) m.property_id, m.borrower_id
      from private.import_mortgage_applications m
      where m.n = any (import_prerequisites.ns) and m.property_id is not null
      order by m.property_id, m.n
      on conflict (id) do nothing;
      perform private.import_creators(import_prerequisites.ns, import_prerequisites.run);
    when 'mortgage_offers' then
      if exists (
        select from private.import_mortgage_offers m
        where m.n = any (import_prerequisites.ns) and m.status = 'accepted'
      ) then
        raise sqlstate 'IM409' using message = 'offer_is_accepted';
      end if;
      insert into public.rooms (id, owner_id, meta, created_at)
      select m.room_refs ->> 'negotiationRoomId', m.lender_id,
        jsonb_build_object('source', 'mortgage', 'offer_id', m.id), m.created_at
      from private.import_mortgage_offers m
      where m.n = any (import_prerequisites.ns)
        -- the lender may have named other rooms, which are not created for it
        and m.room_refs ->> 'negotiationRoomId' = 'mortgage:offer:' || m.id
      order by 1
      on conflict (id) do nothing;
      if exists (
        select from private.import_mortgage_offers m
        -- one that another source has brought may be the same
        join private.import_staging s on s.n = m.n and not s.is_known
        where m.n = any (import_prerequisites.ns)
          and private.import_room_is_taken('mortgage:offer:' || m.id, array[m.lender_id], origin)
      ) then
        raise sqlstate 'IM409' using message = 'room_taken';
      end if;
    when 'contract_links' then
      -- an offer under way would not be seen
      perform pg_advisory_xact_lock(private.lock_number(m.room_id))
      from (
        select distinct m.room_id
        from private.import_contract_links m
        where m.n = any (import_prerequisites.ns) and starts_with(m.room_id, 'mortgage:offer:')
        order by m.room_id
      ) m;
      insert into public.rooms (id, type, owner_id, meta, created_at)
      select distinct on (m.room_id) m.room_id, 'contract', c.created_by, '{"source": "import"}'::jsonb, m.created_at
      from private.import_contract_links m
      left join public.contracts c on c.id = m.contract_id
      where m.n = any (import_prerequisites.ns) and m.room_id is not null
      order by m.room_id, m.n
      on conflict (id) do nothing;
      if exists (
        -- once for each room, whose documents are all looked at
        select from (
          select m.room_id, array_agg(distinct c.created_by) as creators
          from private.import_contract_links m
          left join public.contracts c on c.id = m.contract_id
          where m.n = any (import_prerequisites.ns)
          group by m.room_id
        ) m
        where private.import_room_is_taken(m.room_id, m.creators, origin)
      ) then
        raise sqlstate 'IM409' using message = 'room_taken';
      end if;
      -- the old servers let everybody store in any room: one of several creators becomes nobody's
      update public.rooms o
      set owner_id = null
      where o.id = any (
        array(
          select m.room_id
          from private.import_contract_links m
          join public.rooms r on r.id = m.room_id and r.meta = '{"source": "import"}'
          left join public.contracts c on c.id = m.contract_id
          where m.n = any (import_prerequisites.ns) and r.owner_id is not null
            and c.created_by is distinct from r.owner_id
        )
      );
    else null;
  end case;
end;
$$;

comment on function private.import_prerequisites is
  'Creates what the rows of a batch refer to and the API would create, too: thinkers, properties and rooms. Locks the '
  'vouchers of bookings. '
  'Refuses with offer_is_accepted, because the legacy store has no contract for it; with room_taken where the row '
  'would become part of what somebody made here under that id.';
