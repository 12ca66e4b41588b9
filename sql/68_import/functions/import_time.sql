create function private.import_time(value text)
returns timestamptz
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
declare
  moment text := trim(import_time.value);
begin
  -- the form that the servers wrote
  if moment ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$' then
    return moment::timestamptz;
  end if;

  -- a year, a month, a day
  if moment ~ '^\d{4}(-\d\d(-\d\d)?)?$' then
    moment := moment || substr('-01-01', length(moment) - 3) || 'T00:00Z';
  elsif moment ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?$' then
    moment := replace(moment, ',', '.') || 'Z';
  elsif moment ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d,\d+(Z|[+-]\d\d:?[0-5]\d)$' then
    moment := replace(moment, ',', '.');
  elsif moment = '' then
    return null;
  elsif moment !~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?[0-5]\d)$' then
    raise sqlstate 'PT400' using message = 'date_invalid', detail = left(moment, 100);
  end if;
  return date_trunc('milliseconds', moment::timestamptz);
end;
$$;

comment on function private.import_time is
  'The time of an ISO 8601 text, as api/models/times.py reads it: a date is midnight, no zone is UTC, milliseconds '
  'are kept. Null for an empty text. '
  'Raises: date_invalid (400); datetime_field_overflow for what is no day of the calendar.';
