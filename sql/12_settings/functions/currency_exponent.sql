create function private.currency_exponent(currency text)
returns integer
language plpgsql -- caches the plan for the next call
stable
strict
security definer
set search_path = ''
-- lists call it for each row, and are planned anew each time
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  -- that of nearly all; a currency that is there stays as it is
  if currency_exponent.currency = 'EUR' then
    return 2;
  end if;
  return coalesce(
    (select c.exponent from private.currencies c where c.code = upper(currency_exponent.currency collate "C")), 2
  );
end;
$$;

comment on function private.currency_exponent is
  'The number of decimals of a currency''s minor unit (private.currencies): 0 for JPY, 3 for KWD, 2 for most; 2 for '
  'the unknown currency of an old row.';
