create function private.import_refuse(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  origin constant text := (select i.source from private.import_runs i where i.id = import_refuse.run);
begin
  if exists (select from private.import_staging s where s.n = any (import_refuse.ns) and s.unreadable) then
    raise sqlstate 'IM400' using message = 'text_unreadable';
  end if;

  -- history is over: a later charge would be in no settlement, and a later event would be the newest for years
  if exists (
    select from private.import_staging s
    cross join unnest(
      array[s.content ->> 'created_at', s.content ->> 'updated_at', s.content ->> 'cancelled_at']
    ) as t (text)
    where s.n = any (import_refuse.ns) and private.import_time(t.text) > now()
  ) then
    raise sqlstate 'IM400' using message = 'date_in_the_future';
  end if;

  if import_refuse.legacy_table = 'events' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns)
      and private.import_time(s.content ->> 'created_at') < now() - interval '20 years'
  ) then
    -- the default partition, which no job drops, would keep it (private.make_event_partitions)
    raise sqlstate 'IM400' using message = 'date_too_old';
  end if;
  if import_refuse.legacy_table = 'events' and exists (
    select from private.import_staging s
    -- ids of events made here are of version 7
    where s.n = any (import_refuse.ns) and not s.is_known and s.id like '________-____-7%'
      and exists (select from public.events e where e.id = private.import_uuid(s.id))
  ) then
    -- the key has the time, too: the event made here would count as imported
    raise sqlstate 'IM409' using message = 'id_taken';
  end if;
  if import_refuse.legacy_table = 'voucher_bookings' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns)
      and private.import_time(s.content ->> 'slot_end') - private.import_time(s.content ->> 'slot_start')
      > interval '366 days'
  ) then
    raise sqlstate 'IM400' using message = 'slot_too_long';
  end if;
  if import_refuse.legacy_table = 'contracts' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and (s.content ->> 'byte_size')::numeric > 100 * 1024 * 1024
  ) then
    -- it counts before its bytes are there (private.document_total)
    raise sqlstate 'IM400' using message = 'document_too_large';
  end if;

  -- before login tokens are sought in them, which takes minutes in megabytes
  if import_refuse.legacy_table = 'telemetry_events' then
    if exists (
      select from private.import_staging s
      where s.n = any (import_refuse.ns) and char_length(s.content ->> 'type') > 255
    ) then
      raise check_violation using message = 'too long', constraint = 'telemetry_type_has_1_to_255_characters';
    end if;
    if exists (
      select from private.import_staging s
      where s.n = any (import_refuse.ns) and char_length(s.content ->> 'path') > 4096
    ) then
      raise check_violation using message = 'too long', constraint = 'path_has_at_most_4096_characters';
    end if;
  end if;
  -- nor is an erased uid sought in more (private.import_names)
  if import_refuse.legacy_table in ('events', 'telemetry_events') and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and octet_length(s.content ->> 'meta') > 65536
  ) then
    raise sqlstate 'IM400' using message = 'json_unreasonable';
  end if;

  -- what somebody made here under an id of the source, also after its own row was erased, or what another source has
  -- under it, is not what the source's rows mean
  if import_refuse.legacy_table in ('voucher_bookings', 'contract_links') and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and s.content ->> 'voucher_id' <> '' and (
      -- no join, which may begin with all rows that were ever imported
      select (select v.created_at from public.vouchers v where v.id = r.id) <= r.imported_at
      from private.import_rows r
      where r.legacy_table = 'vouchers' and r.id = s.content ->> 'voucher_id' and origin = any (r.shown_by)
    ) is not true
  ) then
    raise sqlstate 'IM409' using message = 'voucher_missing';
  end if;
  if import_refuse.legacy_table = 'properties' and exists (
    select from private.import_staging s
    join public.properties p on p.id = s.id
    where s.n = any (import_refuse.ns) and s.is_known and p.created_by is not null
      and not exists (
        select from public.mortgage_applications a
        join private.import_rows r on r.legacy_table = 'mortgage_applications' and r.id = a.id
        where a.property_id = p.id and a.borrower_id = p.created_by and a.created_at <= r.imported_at
      )
  ) then
    raise sqlstate 'IM409' using message = 'changed_here';
  end if;
  if import_refuse.legacy_table = 'voucher_bookings' and exists (
    select from private.import_staging s
    join public.vouchers v on v.id = s.content ->> 'voucher_id'
    where s.n = any (import_refuse.ns) and s.content ->> 'issuer_uid' <> ''
      and v.issuer_id <> private.thinker_id(s.content ->> 'issuer_uid')
  ) then
    raise sqlstate 'IM409' using message = 'issuer_differs';
  end if;
  if import_refuse.legacy_table = 'mortgage_applications' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and not s.is_known
      -- the second is what the servers write where none is given: it belongs to nobody
      and s.content ->> 'property_id' not in ('', 'house-unknown')
      and (select true from public.properties p where p.id = s.content ->> 'property_id')
      and (
        select origin = any (r.shown_by)
        from private.import_rows r
        where r.legacy_table = 'properties' and r.id = s.content ->> 'property_id'
      ) is not true
      -- an application of this source may have made it
      and not exists (
        select from public.mortgage_applications a
        where a.property_id = s.content ->> 'property_id' and (
          select a.created_at <= r.imported_at and origin = any (r.shown_by)
          from private.import_rows r
          where r.legacy_table = 'mortgage_applications' and r.id = a.id
        )
        offset 0
      )
  ) then
    raise sqlstate 'IM409' using message = 'property_taken';
  end if;
  if import_refuse.legacy_table = 'mortgage_offers' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and s.content ->> 'application_id' <> '' and (
      select (select a.created_at from public.mortgage_applications a where a.id = r.id) <= r.imported_at
      from private.import_rows r
      where r.legacy_table = 'mortgage_applications' and r.id = s.content ->> 'application_id'
        and origin = any (r.shown_by)
    ) is not true
  ) then
    raise sqlstate 'IM409' using message = 'application_missing';
  end if;
  if import_refuse.legacy_table = 'contract_links' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and s.content ->> 'contract_id' <> '' and (
      select origin = any (r.shown_by)
      from private.import_rows r
      where r.legacy_table = 'contracts' and r.id = s.content ->> 'contract_id'
    ) is not true
  ) then
    raise sqlstate 'IM409' using message = 'contract_missing';
  end if;
end;
$$;

comment on function private.import_refuse is
  'Refuses rows of a batch with text_unreadable; with date_in_the_future; an event with date_too_old where it is more '
  'than twenty years old, and with id_taken where one made here has its id; with slot_too_long a booking of '
  'more than 366 days; with document_too_large one of more than 100 MiB; what pages report, where it is too long '
  'before its login tokens are hidden; with voucher_missing, property_taken, application_missing and contract_missing '
  'where the row would become part of what somebody made here under that id, or another source; with issuer_differs; '
  'with changed_here where somebody made an erased property here again.';
