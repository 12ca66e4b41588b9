create function private.in_calendar(variadic moments timestamptz[])
returns boolean
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
begin
  return (
    '0001-01-01 00:00:00+00' <= all (in_calendar.moments) and '10000-01-01 00:00:00+00' > all (in_calendar.moments)
  ) is not false;
end;
$$;

comment on function private.in_calendar is
  'True if every given time is null or within the years 1 to 9999, which clients can parse. For check constraints.';
