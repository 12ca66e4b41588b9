create function private.check_json(value jsonb, levels integer default 63, bytes integer default 4194304)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
  deepest integer;
  is_out  boolean;
  printed bigint;
begin
  -- clients' parsers have limits: one unreadable row would make a whole list unreadable. Most values are small, and
  -- have no numbers that are printed much longer than they are stored
  if pg_column_size(value) > 8192
    or jsonb_path_exists(value, '$.**{63}')
    or jsonb_path_exists(
      value,
      'strict $.** ? (@.type() == "number" && @ != 0 && (@ >= 1e16 || @ <= -1e16 || (@ < 1e-4 && @ > -1e-4)))'
    ) then
    -- not by jsonb_path_query, whose time grows with the square of the number of values
    with recursive part as (
      select check_json.value, 0 as level
      union all
      select inside.value, part.level + 1
      from part
      cross join lateral (
        select e.value from jsonb_array_elements(case jsonb_typeof(part.value) when 'array' then part.value end) as e
        union all
        select e.value from jsonb_each(case jsonb_typeof(part.value) when 'object' then part.value end) as e
      ) inside
      where part.level < check_json.levels and jsonb_typeof(part.value) in ('array', 'object')
    ),
    number as (
      select part.level, case jsonb_typeof(part.value) when 'number' then part.value::numeric end as number
      from part
    ),
    judged as (
      select
        n.level, n.number,
        abs(n.number) > 1.7976931348623157e308 or abs(n.number) < 2.5e-324 and n.number <> 0 as is_out
      from number n
    )
    select max(j.level), bool_or(j.is_out), sum(octet_length(case when not j.is_out then j.number end::text))
    into deepest, is_out, printed
    from judged j;

    -- 1e308 is sent as 5 bytes and printed as 309, a zero as up to 16,384
    if deepest >= check_json.levels or is_out or printed > 4194304 then
      raise sqlstate 'PT400' using message = 'json_unreasonable';
    end if;
  end if;

  if octet_length(case when check_json.bytes is not null then value end::text) > check_json.bytes then
    raise sqlstate 'PT400' using message = 'json_unreasonable';
  end if;
  return true;
end;
$$;

comment on function private.check_json is
  'True for JSON of at most 63 levels and 4 MiB whose numbers are within the range of a double. For check constraints, '
  'and for what is to be printed or hashed before: with bytes null only levels and numbers are checked, and nothing is '
  'printed that is much longer than it was sent. '
  'Raises: json_unreasonable (400).';
