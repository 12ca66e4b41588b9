create function private.import_time(value text)
returns timestamptz
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
declare
  moment text := replace(trim(import_time.value), ',', '.');
begin
  -- the form that the servers wrote
  if moment ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$' then
    return moment::timestamptz;
  end if;

  if moment = '' then
    return null;
  end if;
  -- a year, a month, a day
  if moment ~ '^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$' then
    moment := moment || substr('-01-01', length(moment) - 3) || 'T00:00';
  end if;
  if moment ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?$' then
    moment := moment || 'Z';
  end if;
  if moment !~
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})$' then
    raise sqlstate 'IM400' using message = 'date_invalid', detail = left(moment, 100);
  end if;
  return date_trunc('milliseconds', moment::timestamptz);
end;
$$;

comment on function private.import_time is
  'The time of an ISO 8601 text, as api/models/times.py reads it: a date is midnight, no zone is UTC, milliseconds '
  'are kept. Null for an empty text. '
  'Refuses with date_invalid, or with datetime_field_overflow what is no day of the calendar.';
