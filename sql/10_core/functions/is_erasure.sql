create function private.is_erasure()
returns boolean
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
as $$
begin
  return coalesce(current_setting('portal.erasure', true) = pg_current_xact_id_if_assigned()::text, false)
    -- a request has the role of its caller, whatever it could set
    and current_setting('role') not in ('anon', 'authenticated', 'service_role');
end;
$$;

comment on function private.is_erasure is
  'True while private.erase_thinker works, which may change what is append-only and writes no other events. Only that '
  'function sets portal.erasure, to the number of its transaction: what a session sets once opens nothing later.';
