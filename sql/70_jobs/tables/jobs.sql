create table private.jobs (
  name        text        collate "C" primary key,
  schedule    text        collate "C" not null,
  late_after  interval    not null,
  description text       not null,
  added_at    timestamptz not null default now(),

  constraint job_name_is_made_of_words check (name ~ '^[a-z]+(-[a-z]+)*$' and char_length(name) <= 50),
  constraint schedule_has_five_fields check (schedule ~ '^\S+( \S+){4}$'),
  constraint late_after_is_positive check (late_after > interval '0'),
  constraint description_is_not_empty check (description <> '')
);

comment on table private.jobs is
  'The scheduled jobs. The job a-b runs the function private.job_a_b(), which returns how many rows it processed. '
  'After changing a schedule run select private.install_jobs(), where pg_cron runs them.';
comment on column private.jobs.schedule is 'Minute, hour, day, month and weekday in the syntax of cron, in UTC.';
comment on column private.jobs.late_after is 'The job is late if its last successful run started longer ago.';
comment on column private.jobs.added_at is 'A job that never ran is late if it was added longer ago than late_after.';

alter table private.jobs enable row level security;

grant select on private.jobs to service_role;

insert into private.jobs (name, schedule, late_after, description) values
  -- at noon UTC the month is over in every time zone; on three days, in case the server is down on the first
  ('settle-fees-monthly', '30 12 1-3 * *', '32 days', 'Settles the past months, if switched on.'),
  ('expire-vouchers', '*/5 * * * *', '15 minutes', 'Expires issued vouchers after the end of their validity.'),
  ('presence-offline', '* * * * *', '5 minutes', 'Sets thinkers to offline after a minute without a heartbeat.'),
  -- hourly, because a run gives up during a long query on the log
  ('purge-old-events', '10 * * * *', '26 hours', 'Creates event partitions for the next months, and drops old ones.'),
  (
    'purge-idempotency-keys', '20 * * * *', '130 minutes',
    'Deletes idempotency keys after 24 hours, and expired counters of requests.'
  ),
  ('cleanup-cron-history', '40 3 * * *', '26 hours', 'Deletes job logs older than 14 days.'),
  ('check-invariants', '0 4 * * *', '26 hours', 'Fails if an invariant is violated, and names it.');

create trigger tg_jobs__write_change
after update or delete on private.jobs
for each row
execute function private.tg_row__write_change('job', 'name');

create trigger tg_jobs__refuse
before truncate on private.jobs
for each statement execute function private.tg_append_only__refuse();
