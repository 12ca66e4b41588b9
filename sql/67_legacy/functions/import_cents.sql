create function private.import_cents(value text)
returns bigint
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
declare
  number constant numeric := import_cents.value::numeric;
begin
  -- NaN is above every number
  if number not between 0 and 9007199254740991 or number <> trunc(number) then
    raise sqlstate 'IM400' using message = 'amount_out_of_range', detail = left(import_cents.value, 100);
  end if;
  return number::bigint;
end;
$$;

comment on function private.import_cents is
  'A whole, not negative amount in minor units, by the rule of the API for prices. '
  'Refuses with amount_out_of_range.';
