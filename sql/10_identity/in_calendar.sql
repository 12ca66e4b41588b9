create function private.in_calendar(variadic moments timestamptz[])
returns boolean
language sql
immutable
set search_path = ''
as $$
  select coalesce(
    bool_and(moment >= '0001-01-01 00:00:00+00' and moment < '10000-01-01 00:00:00+00'), true
  )
  from unnest(moments) as moment
$$;

comment on function private.in_calendar is
  'True when every given time is within the years 1 to 9999, which clients can read, or null; for check constraints.';
