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
