-- What the clock does: named jobs, a log of their runs, and their schedule where pg_cron is.

create table private.jobs (
  name       text        primary key,
  schedule   text        not null,
  late_after interval    not null,
  does       text        not null,
  added_at   timestamptz not null default now(),

  constraint job_name_is_made_of_words check (name ~ '^[a-z]+(-[a-z]+)*$' and char_length(name) <= 50),
  constraint schedule_has_five_fields check (schedule ~ '^\S+( \S+){4}$'),
  constraint late_after_is_positive check (late_after > interval '0'),
  constraint what_it_does_is_said check (does <> '')
);

comment on table private.jobs is
  'What the clock does. The job a-b is the function private.job_a_b(), which returns how much it did. '
  'After a change of a schedule: select private.install_jobs().';
comment on column private.jobs.schedule is 'Minute, hour, day, month and weekday as cron has them, in UTC.';
comment on column private.jobs.late_after is 'The job is late when its last good run began longer ago.';
comment on column private.jobs.added_at is 'A job that never ran is late when it was added longer ago than late_after.';

alter table private.jobs enable row level security;

grant select on private.jobs to service_role;

insert into private.jobs (name, schedule, late_after, does) values
  -- at noon UTC the last day of the month is over in every time zone
  ('settle-fees-monthly', '30 12 1 * *', '32 days', 'Makes the settlements of the months that are over, once switched on.'),
  ('expire-vouchers', '*/5 * * * *', '15 minutes', 'Lets vouchers expire whose time is over and that nobody booked.'),
  ('presence-offline', '* * * * *', '5 minutes', 'Says offline for those who have been silent for more than a minute.'),
  ('purge-old-events', '10 3 * * *', '26 hours', 'Makes room for the events to come, and drops the months that are no longer kept.'),
  ('purge-idempotency-keys', '20 * * * *', '130 minutes', 'Forgets idempotency keys after 24 hours.'),
  ('cleanup-cron-history', '40 3 * * *', '26 hours', 'Deletes the logs of jobs that are older than 14 days.'),
  ('check-invariants', '0 4 * * *', '26 hours', 'Fails when an invariant is violated, and names it.');

create table private.job_runs (
  id          bigint      primary key generated always as identity,
  job         text        not null references private.jobs (name) on delete cascade,
  started_at  timestamptz not null,
  finished_at timestamptz not null,
  done        bigint,
  error       text,

  constraint a_run_ends_after_it_starts check (finished_at >= started_at),
  constraint what_failed_did_nothing check (done is null or error is null)
);

comment on table private.job_runs is
  'Every run of a job, whoever started it. Written by private.run_job; cleanup-cron-history keeps 14 days.';
comment on column private.job_runs.done is
  'How many things the job did. Null when it failed, and when it did not begin because it was running elsewhere.';
comment on column private.job_runs.error is 'Why it failed; what it had done was undone.';

create index job_runs_job_idx on private.job_runs (job, started_at desc);

alter table private.job_runs enable row level security;

grant select on private.job_runs to service_role;

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
  'Makes the settlements of every month that is over and has none, where private.settings.settles_on_schedule says so. Returns '
  'how many.';

create function private.job_expire_vouchers()
returns bigint
language sql
set search_path = ''
as $$
  with expired as (
    update public.vouchers
    set status = 'expired'
    where id in (
      -- one that is just being booked can wait for the next run
      select v.id from public.vouchers v where v.status = 'issued' and v.valid_until < now() for update skip locked
    )
    returning 1
  )
  select count(*) from expired
$$;

comment on function private.job_expire_vouchers is
  'Lets vouchers expire that nobody booked while they were valid. Returns how many.';

create function private.job_presence_offline()
returns bigint
language sql
set search_path = ''
as $$
  with silenced as (
    update public.presence_sessions
    set status = 'offline', silenced = true
    where id in (
      -- one whose heartbeat is just being written is not silent
      select s.id
      from public.presence_sessions s
      where s.status = 'online' and s.last_seen_at < now() - interval '1 minute'
      for update skip locked
    )
    returning 1
  )
  select count(*) from silenced
$$;

comment on function private.job_presence_offline is
  'Says offline for whoever has been silent for more than a minute; the next heartbeat brings the thinker back. Returns how many.';

create function private.job_purge_old_events()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  perform private.make_event_partitions();
  return private.drop_old_event_partitions((select s.events_kept from private.settings s));
end;
$$;

comment on function private.job_purge_old_events is
  'Makes the partitions for the events to come, and drops those of the months that private.settings.events_kept no longer '
  'keeps. Returns how many were dropped.';

create function private.job_purge_idempotency_keys()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  forgotten bigint;
begin
  delete from private.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics forgotten = row_count;
  return forgotten;
end;
$$;

comment on function private.job_purge_idempotency_keys is 'Forgets idempotency keys after 24 hours. Returns how many.';

create function private.job_cleanup_cron_history()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  kept_from constant timestamptz := now() - interval '14 days';
  of_jobs   bigint;
  of_cron   bigint := 0;
begin
  delete from private.job_runs r
  where r.started_at < kept_from
    and r.id not in (
      -- what stats.jobs tells stays: each job's last run, last good run and last failure
      select distinct on (l.job, l.done is null, l.error is null) l.id
      from private.job_runs l
      order by l.job, l.done is null, l.error is null, l.started_at desc, l.id desc
    );
  get diagnostics of_jobs = row_count;

  -- only there where pg_cron is
  if to_regclass('cron.job_run_details') is not null then
    execute 'delete from cron.job_run_details d where coalesce(d.end_time, d.start_time) < $1' using kept_from;
    get diagnostics of_cron = row_count;
  end if;

  return of_jobs + of_cron;
end;
$$;

comment on function private.job_cleanup_cron_history is
  'Deletes what is older than 14 days of private.job_runs and of pg_cron''s log, but never a job''s last good run or last '
  'failure. Returns how many rows.';

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

create function private.run_job(job text)
returns private.job_runs
language plpgsql
set search_path = ''
as $$
declare
  started_at constant timestamptz := clock_timestamp();
  done       bigint;
  error      text;
  run        private.job_runs;
begin
  if not exists (select from private.jobs j where j.name = run_job.job) then
    raise invalid_parameter_value using
      message = format('There is no job %L.', run_job.job),
      hint = (select 'The jobs are ' || string_agg(j.name, ', ' order by j.name) || '.' from private.jobs j);
  end if;

  if pg_try_advisory_xact_lock('private.jobs'::regclass::oid::integer, hashtext(run_job.job)) then
    begin
      execute format('select private.%I()', 'job_' || replace(run_job.job, '-', '_')) into strict done;
    exception
      when others or query_canceled then
        error := sqlerrm;
        raise warning '% failed: %', run_job.job, error;
    end;
  else
    raise notice '% is running elsewhere.', run_job.job;
  end if;

  insert into private.job_runs (job, started_at, finished_at, done, error)
  values (run_job.job, started_at, clock_timestamp(), done, error)
  returning * into run;
  return run;
end;
$$;

comment on function private.run_job is
  'Runs a job now, and returns what was noted in private.job_runs. A job that fails leaves nothing but its error there and a '
  'warning; one that is running elsewhere is left alone: neither done nor error. Refuses: a name that no job has (22023).';

create view stats.jobs
with (security_invoker = true)
as
select
  j.name,
  j.does,
  j.schedule,
  greatest(good.started_at, bad.started_at) as last_run_at,
  good.started_at as last_good_run_at,
  coalesce(good.started_at, j.added_at) < now() - j.late_after as is_late,
  good.done as last_done,
  bad.started_at as last_error_at,
  bad.error as last_error
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
) bad on true
order by j.name;

comment on view stats.jobs is
  'Each job: when it last ran, whether it is late, its last error. It fails at present where last_error_at = last_run_at.';
comment on column stats.jobs.last_good_run_at is 'When the last run began that did not fail.';
comment on column stats.jobs.is_late is 'True when that is longer ago than the job may wait; for one that never ran well, when it was added.';
comment on column stats.jobs.last_done is 'How many things the last good run did.';

grant select on stats.jobs to service_role;

create function private.install_jobs()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  scheduled bigint;
begin
  if current_setting('cron.database_name', true) is distinct from current_database() then
    raise notice 'Nothing is scheduled: pg_cron does not work on this database. %',
      'Set shared_preload_libraries = pg_cron and cron.database_name = ' || current_database()
      || ', restart, and select private.install_jobs(); or run jobs by hand: select private.run_job(name).';
    return 0;
  end if;

  begin
    create extension if not exists pg_cron;
    -- jobs of ours that are no more
    execute $query$
      select count(cron.unschedule(c.jobid))
      from cron.job c
      where c.username = current_user
        and c.database = current_database()
        and c.command like 'select private.run\_job(%'
        and c.jobname not in (select j.name from private.jobs j)
    $query$;
    execute $query$
      select count(cron.schedule(j.name, j.schedule, format('select private.run_job(%L)', j.name))) from private.jobs j
    $query$
    into scheduled;
  exception
    when insufficient_privilege then
      raise notice 'Nothing is scheduled: % (%) %', sqlerrm, current_user,
        'As superuser: create extension pg_cron; grant usage on schema cron to the owner of the schema.';
      return 0;
  end;
  return scheduled;
end;
$$;

comment on function private.install_jobs is
  'Schedules every job of private.jobs with pg_cron, under its name, and takes away those of ours that are not there any more. '
  'Can be repeated; a changed schedule is taken over. Where pg_cron does not work on this database it says in a notice what to '
  'do, and changes nothing. Returns how many are scheduled.';

select private.install_jobs();
