create function private.currency_exponent(currency text)
returns integer
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when upper(currency collate "C") in (
      'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF',
      'XPF'
    ) then 0
    when upper(currency collate "C") in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
    when upper(currency collate "C") in ('CLF', 'UYW') then 4
    else 2
  end
$$;

comment on function private.currency_exponent is
  'The number of decimals of a currency''s minor unit (ISO 4217): 0 for JPY, 3 for KWD, 2 for most and for unknown '
  'currencies.';
