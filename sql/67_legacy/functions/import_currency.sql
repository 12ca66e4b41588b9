create function private.import_currency(code text)
returns text
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
begin
  return upper(coalesce(nullif(import_currency.code, ''), 'EUR') collate "C");
end;
$$;

comment on function private.import_currency is
  'A currency in upper case; EUR, the default of the API, for a missing one.';
