create function private.install_jobs()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  scheduled bigint;
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron') then
    if current_setting('cron.database_name', true) is distinct from current_database() then
      raise notice 'Nothing is scheduled: pg_cron does not work on this database. %',
        'Set shared_preload_libraries = pg_cron and cron.database_name = ' || current_database()
        || ', restart, and select private.install_jobs(). Until then `portal run` runs the jobs while it serves.';
      return 0;
    end if;
    create extension pg_cron with schema pg_catalog;
  end if;

  -- unschedule jobs that no longer exist
  execute $query$
    select count(cron.unschedule(c.jobid))
    from cron.job c
    where c.username = current_user
      and c.database = current_database()
      and c.command like '%select private.run\_job(%'
      and c.jobname not in (select j.name from private.jobs j)
  $query$;
  execute $query$
    select count(
      cron.schedule(j.name, j.schedule, format('set statement_timeout = 0; select private.run_job(%L)', j.name))
    )
    from private.jobs j
  $query$
  into scheduled;
  return scheduled;
exception
  when insufficient_privilege then
    raise notice 'Nothing is scheduled: %. As superuser: create extension pg_cron; grant usage on schema cron to %.',
      sqlerrm, quote_ident(current_user);
    return 0;
end;
$$;

comment on function private.install_jobs is
  'Schedules every job of private.jobs with pg_cron under its name, and unschedules jobs of this project that no '
  'longer exist. No timeout of the role ends them: a large month takes minutes to settle. Can be repeated, for example '
  'after a change of a schedule. If pg_cron is not available in this database, a notice says what to do, and nothing '
  'changes. Returns the number of scheduled jobs.';

select private.install_jobs();
