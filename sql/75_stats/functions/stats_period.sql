create function private.stats_period(inout from_day date, inout to_day date, out answer jsonb)
language plpgsql
stable
set search_path = ''
as $$
declare
  time_zone text;
  today     date;
begin
  select s.time_zone, (now() at time zone s.time_zone)::date into time_zone, today from private.settings s;

  -- in years that clients can read; three of them at most
  to_day := coalesce(to_day, today);
  if to_day between '0001-02-01' and '9999-12-31' then
    from_day := coalesce(from_day, to_day - 29);
  end if;
  -- in this order: of infinite days nothing can be subtracted
  if not coalesce(
    to_day <= '9999-12-31' and from_day between '0001-01-01' and to_day and to_day - from_day < 1096, false
  ) then
    raise sqlstate 'PT400' using message = 'days_invalid';
  end if;

  answer := jsonb_build_object('from_day', from_day, 'to_day', to_day, 'time_zone', time_zone);
end;
$$;

comment on function private.stats_period is
  'The period of a dashboard, both days included: until today in the portal''s time zone where to_day is null, 30 days where from_day '
  'is. Returns it, and with what the answer begins: {from_day, to_day, time_zone}. Refuses: days_invalid (400), for more than 1,096 days '
  'or none.';
