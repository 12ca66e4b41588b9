create function private.import_time(value text)
returns timestamptz
language plpgsql -- caches the plan for the next call
stable
strict
set search_path = ''
set timezone = 'UTC'
as $$
declare
  moment constant text := trim(import_time.value);
begin
  if moment ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?[0-5]\d)?$' then
    return date_trunc('milliseconds', replace(moment, ',', '.')::timestamptz);
  end if;
  -- a year, a month, a day
  if moment ~ '^\d{4}(-\d\d(-\d\d)?)?$' then
    return (moment || substr('-01-01', length(moment) - 3))::timestamptz;
  end if;
  if moment = '' then
    return null;
  end if;
  raise sqlstate 'PT400' using message = 'date_invalid', detail = left(moment, 100);
end;
$$;

comment on function private.import_time is
  'The time of an ISO 8601 text, as api/models/times.py reads it: a date is midnight, no zone is UTC, milliseconds '
  'are kept. Null for an empty text. '
  'Raises: date_invalid (400); datetime_field_overflow for what is no day of the calendar.';
