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
  -- at noon UTC the last day of the month is over in every time zone; three times, should the server be down on the first
  ('settle-fees-monthly', '30 12 1-3 * *', '32 days', 'Makes the settlements of the months that are over, once switched on.'),
  ('expire-vouchers', '*/5 * * * *', '15 minutes', 'Lets vouchers expire whose time is over and that nobody booked.'),
  ('presence-offline', '* * * * *', '5 minutes', 'Says offline for those who have been silent for more than a minute.'),
  -- hourly, because it gives up where somebody reads the log for long
  ('purge-old-events', '10 * * * *', '26 hours', 'Makes room for the events to come, and drops the months that are no longer kept.'),
  ('purge-idempotency-keys', '20 * * * *', '130 minutes', 'Forgets idempotency keys after 24 hours.'),
  ('cleanup-cron-history', '40 3 * * *', '26 hours', 'Deletes the logs of jobs that are older than 14 days.'),
  ('check-invariants', '0 4 * * *', '26 hours', 'Fails when an invariant is violated, and names it.');
