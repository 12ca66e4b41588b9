create function private.import_room_is_taken(room text, owner uuid)
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select from public.rooms o
    where o.id = import_room_is_taken.room
      and o.owner_id is distinct from import_room_is_taken.owner
      -- made by an import: of a document, or of an offer
      and o.meta <> '{"source": "import"}'
      and not exists (
        select from private.import_rows r
        where r.legacy_table = 'mortgage_offers'
          and r.id = substr(o.id, 1 + length('mortgage:offer:'))
          and o.id = 'mortgage:offer:' || r.id
      )
  )
$$;

comment on function private.import_room_is_taken is
  'Whether a room of this id exists that neither an import has made nor this thinker owns: its owner would see what an '
  'import puts into it.';
