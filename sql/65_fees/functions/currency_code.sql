create function private.currency_code(currency text)
returns text
language sql
immutable
strict
set search_path = ''
as $$
  select coalesce(nullif(left(upper(regexp_replace(currency collate "C", '\s', '', 'g')), 32), ''), 'XXX')
$$;

comment on function private.currency_code is
  'A currency as fees use it: upper case, without whitespace; XXX (ISO 4217: no currency) if nothing is left.';
