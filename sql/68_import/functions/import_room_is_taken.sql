create function private.import_room_is_taken(room text, creators uuid[], origin text)
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
        and exists (
          select from unnest(import_room_is_taken.creators) as c (id) where c.id is distinct from o.owner_id
        )
        -- made by an import: of a document, or of an offer
        and o.meta <> '{"source": "import"}'
        and not exists (
          select from private.import_rows r
          where r.legacy_table = 'mortgage_offers'
            and r.id = substr(o.id, 1 + length('mortgage:offer:'))
            and o.id = 'mortgage:offer:' || r.id
        )
    )
    or exists (
      select from public.rooms o
      where o.id = import_room_is_taken.room
        -- a borrower reads with the owner, from the offer on
        and (
          exists (
            select from unnest(import_room_is_taken.creators) as c (id) where c.id is distinct from o.owner_id
          )
          or starts_with(o.id, 'mortgage:offer:') and not exists (
            select from public.mortgage_offers m where m.id = substr(o.id, 1 + length('mortgage:offer:'))
          )
        )
        -- of another source; no join, which may begin with all documents
        and exists (
          select from public.contract_links l
          where l.room_id = o.id and not exists (
            select from private.import_rows r
            where r.legacy_table = 'contract_links' and private.import_uuid(r.id) = l.id
              and import_room_is_taken.origin = any (r.shown_by)
          )
          offset 0
        )
    )
$$;

comment on function private.import_room_is_taken is
  'Whether a room of this id is one that neither this source has brought nor all of these thinkers own, or one of an '
  'offer or with documents that others have brought: those who have it would see what an import puts into it.';
