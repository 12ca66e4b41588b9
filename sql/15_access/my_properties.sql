create function private.my_properties()
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
  return query select p.id from public.properties p where p.created_by = auth.uid();
  -- applying for a mortgage must not reveal a property that another borrower named, nor an imported one
  return query
    select p.id
    from public.mortgage_applications a
    join public.properties p on p.id = a.property_id
    where a.borrower_id = auth.uid() and p.created_by is null
      and not exists (select from private.import_rows r where r.legacy_table = 'properties' and r.id = p.id);
  return query
    select a.property_id
    from (select distinct m.id from private.my_applications() as m (id)) m
    join public.mortgage_applications a on a.id = m.id
    where a.borrower_id <> auth.uid();
end;
$$;

comment on function private.my_properties is
  'The ids of the properties that the actor named, those that an operator entered and the actor applied for, and those '
  'of the applications that the actor works on (private.my_applications). May contain duplicates.';

grant execute on function private.my_properties to authenticated;
