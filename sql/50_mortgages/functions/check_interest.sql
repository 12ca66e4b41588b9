create function private.check_interest(rate numeric)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if rate not between 0 and 99.9999 or min_scale(rate) > 4 then
    raise sqlstate 'PT400' using message = 'interest_out_of_range';
  end if;
end;
$$;

comment on function private.check_interest is
  'Accepts null and a fraction from 0 to 99.9999 with at most four decimals. '
  'Raises: interest_out_of_range (400).';
