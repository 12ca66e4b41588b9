create function private.tg_json__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT400' using message = 'json_unreasonable';
end;
$$;

comment on function private.tg_json__refuse is
  'Refuses JSON that private.check_json does not accept. A trigger, not a constraint: a constraint would read all JSON '
  'of a row again with each change of its status, and others wait for that. '
  'Raises: json_unreasonable (400).';
