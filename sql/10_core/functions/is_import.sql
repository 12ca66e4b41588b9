create function private.is_import()
returns boolean
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
as $$
begin
  return coalesce(current_setting('portal.import', true), '') = 'on'
    -- a request has the role of its caller, whatever it could set
    and current_setting('role') not in ('anon', 'authenticated', 'service_role');
end;
$$;

comment on function private.is_import is
  'True while private.import_batch writes history from another store: it makes no events and no fees, because it has '
  'its own. Only that function sets portal.import, for its transaction; in a request it is false.';
