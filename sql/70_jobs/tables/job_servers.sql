create table private.job_servers (
  name    text        collate "C" primary key,
  seen_at timestamptz not null
);

comment on table private.job_servers is
  'The servers (`portal run`) that run the jobs which pg_cron does not. Each writes its row once a minute, and deletes '
  'it when it stops.';
comment on column private.job_servers.name is 'Host and process id, as host:4711.';
comment on column private.job_servers.seen_at is
  'When it last looked for due jobs. After three minutes without it stats.jobs does not count on the server any more.';

alter table private.job_servers enable row level security;
