create function private.currency_code(currency text)
returns text
language sql
immutable
strict
set search_path = ''
as $$
  select coalesce(nullif(left(upper(regexp_replace(currency, '\s', '', 'g')), 32), ''), 'XXX')
$$;

comment on function private.currency_code is
  'A currency as fees count it: upper case, without blanks; XXX (ISO 4217: no currency) where nothing is left of it.';
