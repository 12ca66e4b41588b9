create table private.import_runs (
  id          integer     generated always as identity primary key,
  source      text        not null,
  input       jsonb       not null,
  charge_from timestamptz,
  started_at  timestamptz not null default now(),
  finished_at timestamptz,
  report      jsonb,

  constraint finished_run_has_a_report check ((finished_at is null) = (report is null))
);

comment on table private.import_runs is 'The imports from other stores (portal import), each with its report.';
comment on column private.import_runs.source is
  'The store: d1 for a Cloudflare D1 database, otherwise the URL of a server.';
comment on column private.import_runs.input is
  'What was read: {"name", "bytes", "sha256"} of a file, {"lists"} of a server: the rows of each.';
comment on column private.import_runs.charge_from is
  'Bookings made from then on were charged; null if none. A run that has no finished_at was interrupted.';

alter table private.import_runs enable row level security;
