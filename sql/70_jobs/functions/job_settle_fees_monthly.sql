create function private.job_settle_fees_monthly()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  if not (select s.settles_on_schedule from private.settings s) then
    raise notice 'Switched off: update private.settings set settles_on_schedule = true.';
    return 0;
  end if;
  return private.settle_due_months();
end;
$$;

comment on function private.job_settle_fees_monthly is
  'Settles every due month, if private.settings.settles_on_schedule is true. Returns the number of settlements '
  'created. '
  'Raises: period_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';
