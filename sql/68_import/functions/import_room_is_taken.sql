create function private.import_room_is_taken(room text, owner uuid, origin text)
returns boolean
language sql
stable
set search_path = ''
as $$
  select
    -- the parties of a mortgage have a room by its name, whether it was made or not
    exists (
      select from public.mortgage_offers o
      where o.id = substr(import_room_is_taken.room, 1 + length('mortgage:offer:'))
        and import_room_is_taken.room = 'mortgage:offer:' || o.id
        and o.lender_id is distinct from import_room_is_taken.owner
        and not exists (
          select from private.import_rows r
          where r.legacy_table = 'mortgage_offers' and r.id = o.id and o.created_at <= r.imported_at
            and import_room_is_taken.origin = any (r.shown_by)
        )
    )
    or exists (
      select from public.mortgage_contracts c where import_room_is_taken.room = 'mortgage:contract:' || c.id
    )
    or exists (
      select from public.rooms o
      where o.id = import_room_is_taken.room
        and o.owner_id is distinct from import_room_is_taken.owner
        and (
          -- made by an import: of a document, or of an offer
          o.meta <> '{"source": "import"}'
          and not exists (
            select from private.import_rows r
            where r.legacy_table = 'mortgage_offers'
              and r.id = substr(o.id, 1 + length('mortgage:offer:'))
              and o.id = 'mortgage:offer:' || r.id
          )
          -- of this source
          or exists (
            select from public.contract_links l
            where l.room_id = o.id and not exists (
              select from private.import_rows r
              where r.legacy_table = 'contract_links' and private.import_uuid(r.id) = l.id
                and import_room_is_taken.origin = any (r.shown_by)
            )
          )
        )
    )
$$;

comment on function private.import_room_is_taken is
  'Whether a room of this id is one that neither this source has brought nor this thinker owns: those who have it '
  'would see what an import puts into it.';
