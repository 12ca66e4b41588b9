create function private.in_calendar(variadic moments timestamptz[])
returns boolean
language plpgsql -- which keeps the plan for the next one
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
  'True when every given time is within the years 1 to 9999, which clients can read, or null; for check constraints.';
