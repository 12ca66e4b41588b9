create function private.tg_currency__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT400' using message = 'currency_unknown';
end;
$$;

comment on function private.tg_currency__refuse is
  'Refuses a new row, or a new value, whose currency is not in private.currencies. A trigger, not a constraint: what '
  'is stored stays. '
  'Raises: currency_unknown (400).';
