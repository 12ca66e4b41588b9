create function private.amount_of(value jsonb)
returns bigint
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when jsonb_typeof(value) = 'number' then
      case when value::numeric between 0 and 9007199254740991 then round(value::numeric)::bigint end
  end
$$;

comment on function private.amount_of is
  'A JSON number as an amount in minor units, rounded; null for anything else, and for a number that is no safe '
  'amount.';
