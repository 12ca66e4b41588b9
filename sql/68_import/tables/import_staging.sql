create unlogged table private.import_staging (
  n            integer primary key,
  id           text    collate "C",
  hash         uuid    not null,
  content      jsonb   not null,
  unreadable   boolean not null default false,
  mends        uuid,
  is_known     boolean not null default false,
  is_unchanged boolean not null default false
);

comment on table private.import_staging is
  'The rows of one batch of an import, in the order of the source. Empty between the batches.';
comment on column private.import_staging.hash is 'The hash of the whole row of the source.';
comment on column private.import_staging.content is
  'The row of the source, each value as its text or null: a number as the shortest decimal that makes the same double.';
comment on column private.import_staging.unreadable is
  'Whether a value is no text that PostgreSQL can store: it is {"base64": ...} of its bytes.';
comment on column private.import_staging.mends is 'The row of private.import_rejects that this row replaces.';
comment on column private.import_staging.is_known is
  'Whether a row of this id was imported before, with other content.';
comment on column private.import_staging.is_unchanged is
  'Whether another source brought this row, which has other content there but becomes the same.';

alter table private.import_staging enable row level security;

-- every batch has other rows; a plan for few rows reads by index
alter table private.import_staging set (autovacuum_enabled = false);
