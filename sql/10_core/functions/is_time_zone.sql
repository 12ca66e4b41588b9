create function private.is_time_zone(name text)
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select from pg_catalog.pg_timezone_names as z
    where
      z.name = is_time_zone.name
      -- unknown to browsers
      and z.name collate "C" !~ '^(posix/|right/|posixrules$|localtime$|Factory$)'
  );
$$;

comment on function private.is_time_zone is
  'True for the name of a time zone as sessions and browsers know it: Europe/Berlin. CEST is an abbreviation, and '
  'UTC+2 lies in the west. For check constraints.';
