create function private.iso(moment timestamptz)
returns text
language sql
stable
strict
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

comment on function private.iso is 'Formats a time as the legacy API does: ISO 8601 with milliseconds and Z.';
