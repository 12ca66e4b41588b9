create function private.check_json(value jsonb, levels integer default 63, bytes integer default 65536)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
  -- numbers that may be printed much longer than they are stored: 1e308, and a zero, which may be 0e-16383
  long    constant jsonpath :=
    jsonpath '$.** ? (@.type() == "number" && (@ >= 1e64 || @ <= -1e64 || (@ < 1e-64 && @ > -1e-64)))';
  nonzero constant jsonpath :=
    jsonpath '$.** ? (@.type() == "number" && @ != 0 && (@ >= 1e64 || @ <= -1e64 || (@ < 1e-64 && @ > -1e-64)))';
  is_out  boolean;
  printed bigint;
  visits  bigint;
  shown   text;
begin
  -- nearly all is short: its number of brackets is above its levels, and no number beyond a double fits in
  if pg_column_size(value) < 1000 then
    shown := value::text;
    if octet_length(shown) <= least(300, check_json.bytes) and private.count_brackets(shown) < least(levels, 63) then
      return true;
    end if;
  end if;

  -- clients' parsers have limits: one unreadable row would make a whole list unreadable
  if jsonb_path_exists(value, '$.**{63}') and jsonb_path_exists(value, format('$.**{%s}', levels)::jsonpath) then
    raise sqlstate 'PT400' using message = 'json_unreasonable';
  end if;

  -- for many values, functions of jsonpath need time or memory beyond measure: they read parts of at most 64 KiB
  if pg_column_size(value) > 65536
    or jsonb_path_exists(value, case when pg_column_size(value) > 8192 then long else nonzero end) then
    with recursive part as (
      select check_json.value
      union all
      select inside.value
      from part
      cross join lateral (
        select e.value from jsonb_array_elements(case jsonb_typeof(part.value) when 'array' then part.value end) as e
        union all
        select e.value from jsonb_each(case jsonb_typeof(part.value) when 'object' then part.value end) as e
      ) inside
      where case
        when jsonb_typeof(part.value) not in ('array', 'object') then false
        else pg_column_size(part.value) > 65536 or jsonb_path_exists(part.value, long)
      end
    ),
    -- the limit ends the recursion
    visited as (
      select part.value
      from part
      limit 50001
    ),
    number as (
      select case jsonb_typeof(v.value) when 'number' then v.value::numeric end as number
      from visited v
    ),
    judged as (
      select
        n.number,
        abs(n.number) > 1.7976931348623157e308 or abs(n.number) < 2.5e-324 and n.number <> 0 as is_out
      from number n
    )
    select bool_or(j.is_out), sum(octet_length(case when not j.is_out then j.number end::text)), count(*)
    into is_out, printed, visits
    from judged j;

    if is_out or printed > 4194304 or visits > 50000 then
      raise sqlstate 'PT400' using message = 'json_unreasonable';
    end if;
  end if;

  if check_json.bytes is not null then
    shown := value::text;
    if octet_length(shown) > check_json.bytes then
      raise sqlstate 'PT400' using message = 'json_unreasonable';
    end if;
    -- a filter of the Data API (@>) compares each of its values with each of these, and no timeout ends that
    if private.count_brackets(shown) > 1000 or private.count_commas(shown) > 4000 then
      -- those in texts are none
      shown := regexp_replace(shown, '"([^"\\]|\\.)*"', '', 'g');
      if private.count_brackets(shown) > 1000 or private.count_commas(shown) > 4000 then
        raise sqlstate 'PT400' using message = 'json_unreasonable';
      end if;
    end if;
  end if;
  return true;
end;
$$;

comment on function private.check_json is
  'True for JSON of at most 63 levels and 64 KiB, with at most 1,000 arrays and objects and 4,000 commas between '
  'values, whose numbers are within the range of a double: for all JSON of a row together. With bytes null it is for a '
  'request that is to be printed or hashed: only levels and numbers are checked, and nothing is printed that is much '
  'longer than it was sent; its arrays and objects of more than 64 KiB may have 50,000 values together, for each takes '
  'time. '
  'Raises: json_unreasonable (400).';
