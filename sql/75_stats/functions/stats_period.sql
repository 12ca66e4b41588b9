create function private.stats_period(inout from_day date, inout to_day date, out header jsonb)
language plpgsql
stable
set search_path = ''
as $$
declare
  time_zone text;
  today     date;
begin
  select s.time_zone, (now() at time zone s.time_zone)::date into time_zone, today from private.settings s;

  -- within the years that clients can parse; at most three years
  to_day := coalesce(to_day, today);
  if to_day between '0001-02-01' and '9999-12-31' then
    from_day := coalesce(from_day, to_day - 29);
  end if;
  -- in this order, because subtracting infinite dates fails
  if not coalesce(
    to_day <= '9999-12-31' and from_day between '0001-01-01' and to_day and to_day - from_day < 1096, false
  ) then
    raise sqlstate 'PT400' using message = 'days_invalid';
  end if;

  header := jsonb_build_object('from_day', from_day, 'to_day', to_day, 'time_zone', time_zone);
end;
$$;

comment on function private.stats_period is
  'The period of a dashboard, both days included, at most 1,096 days. to_day is by default today in the portal''s time '
  'zone, from_day 29 days earlier. header is the beginning of the response: {from_day, to_day, time_zone}. '
  'Raises: days_invalid (400).';
