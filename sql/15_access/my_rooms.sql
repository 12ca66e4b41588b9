create function private.my_rooms()
returns setof text
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
  -- a room for a pair code belongs to the thinkers present in it, not to its creator
  return query
    select r.id from public.rooms r where r.owner_id = auth.uid() and r.meta ->> 'source' is distinct from 'presence';
  return query select room from private.my_room() as room where room is not null;
  return query select 'mortgage:offer:' || o.id from private.my_offers() as o (id);
  return query
    select 'mortgage:contract:' || c.id
    from public.mortgage_contracts c
    where c.offer_id in (select private.my_offers());
end;
$$;

comment on function private.my_rooms is
  'The ids of the actor''s rooms: its own rooms, the room in which it is present, and the rooms of its mortgages.';

grant execute on function private.my_rooms to authenticated;
