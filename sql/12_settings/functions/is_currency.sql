create function private.is_currency(code text)
returns boolean
language plpgsql -- caches the plan for the next call
stable
strict
security definer
set search_path = ''
as $$
begin
  return exists (select from private.currencies c where c.code = is_currency.code);
end;
$$;

comment on function private.is_currency is
  'Whether a code is exactly that of a known currency (private.currencies); null for null.';
