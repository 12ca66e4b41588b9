create function public.presence_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
declare
  period record;
begin
  perform private.require_admin();
  period := private.stats_period(presence_stats.from_day, presence_stats.to_day);

  return period.header || jsonb_build_object(
    'online', (select n.online from stats.presence_now n),
    'pair_codes', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.sessions desc, c.online desc, c.pair_code), '[]')
      from (
        select * from stats.pair_codes p order by p.sessions desc, p.online desc, p.pair_code limit 20
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.presence_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.presence_stats is
  'The figures of presence for a period of days (private.stats_period): {from_day, to_day, time_zone, online and '
  'pair_codes (current; the 20 most frequent), days (stats.presence_by_day)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.presence_stats to authenticated, service_role;
