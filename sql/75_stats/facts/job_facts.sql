create view private.job_facts
as
select
  j.name,
  j.description,
  j.schedule,
  greatest(good.started_at, bad.started_at) as last_run_at,
  good.started_at as last_good_run_at,
  coalesce(good.started_at, j.added_at) < now() - j.late_after as is_late,
  good.done as last_done,
  bad.started_at as last_error_at,
  bad.error as last_error,
  case private.is_active_in_pg_cron(j.name)
    when true then 'pg_cron'
    when false then 'nobody'
    else
      case
        when exists (select from private.job_servers s where s.seen_at > now() - interval '3 minutes') then 'portal run'
        else 'nobody'
      end
  end as run_by
from private.jobs j
left join lateral (
  select r.started_at, r.done
  from private.job_runs r
  where r.job = j.name and r.done is not null
  order by r.started_at desc
  limit 1
) good on true
left join lateral (
  select r.started_at, r.error
  from private.job_runs r
  where r.job = j.name and r.error is not null
  order by r.started_at desc
  limit 1
) bad on true;

comment on view private.job_facts is 'The data of stats.jobs.';

-- the view calls it with the rights of its reader
grant execute on function private.is_active_in_pg_cron to service_role, stats_reader;

grant select on private.job_facts to service_role, stats_reader;
