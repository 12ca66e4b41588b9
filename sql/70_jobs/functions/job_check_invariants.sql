create function private.job_check_invariants()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  checked  bigint;
  violated text;
begin
  select count(*), string_agg(format('%s (%s)', i.name, i.violations), ', ' order by i.name) filter (where i.violations > 0)
  into checked, violated
  from stats.invariants i;

  if violated is not null then
    raise exception 'Violated: %', violated;
  end if;
  return checked;
end;
$$;

comment on function private.job_check_invariants is
  'Reads stats.invariants. Returns how many there are. Fails with the names of those that are violated, and how often.';
