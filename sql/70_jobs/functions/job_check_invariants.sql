create function private.job_check_invariants()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  checked  bigint;
  violated text;
begin
  select
    count(*),
    string_agg(format('%s (%s)', i.name, i.violations), ', ' order by i.name) filter (where i.violations > 0)
  into checked, violated
  from stats.invariants i;

  if violated is not null then
    raise exception 'Violated: %', violated;
  end if;
  return checked;
end;
$$;

comment on function private.job_check_invariants is
  'Checks stats.invariants. Returns the number of invariants. Fails with the names of the violated ones and their '
  'numbers of violations.';
