create table private.import_rows (
  legacy_table text        collate "C" not null,
  id           text        collate "C" not null,
  source       text        collate "C" not null,
  shown_by     text[]      collate "C" not null,
  hash         uuid        not null,
  digest       bigint      not null,
  amount       numeric,
  currency     text        collate "C",
  run          integer     not null,
  imported_at  timestamptz not null default now(),

  constraint id_is_not_empty check (id <> ''),

  primary key (legacy_table, id)
);

comment on table private.import_rows is
  'Every row that was imported: by it an import goes on after an interruption, and a repeated one changes nothing.';
comment on column private.import_rows.id is 'The id in the source; private.import_uuid makes a UUID of it.';
comment on column private.import_rows.source is 'The source that brought it.';
comment on column private.import_rows.shown_by is 'This source, and others that have the same row.';
comment on column private.import_rows.hash is 'The hash of the whole row of the source.';
comment on column private.import_rows.digest is
  'The hash of the imported columns as they were written. A row that has another one by now was changed here.';
comment on column private.import_rows.amount is
  'The exact amount of the source in minor units: a transfer''s may have fractions of them, which are rounded.';
comment on column private.import_rows.run is 'The run that wrote the row (private.import_runs).';

-- who sees a document asks whether its link was imported
create index import_rows_contract_link_id_idx on private.import_rows (private.import_uuid(id))
where legacy_table = 'contract_links';

alter table private.import_rows enable row level security;
