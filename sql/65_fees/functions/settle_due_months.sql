create function private.settle_due_months()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  month date;
  made  bigint := 0;
begin
  for month in select m from private.due_months() as m loop
    made := made + jsonb_array_length(public.settle_fees(month, (month + interval '1 month')::date));
  end loop;
  return made;
end;
$$;

comment on function private.settle_due_months is
  'Settles every due month (private.due_months) separately, oldest first. Returns the number of settlements created. '
  'Raises: period_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';
