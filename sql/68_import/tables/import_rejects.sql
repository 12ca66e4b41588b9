create table private.import_rejects (
  id           uuid        primary key default private.new_uuid(),
  source       text        collate "C" not null,
  legacy_table text        collate "C" not null,
  row_id       text        collate "C",
  hash         uuid        not null,
  content      jsonb       not null,
  reason       text        collate "C" not null,
  detail       text,
  run          integer     not null,
  created_at   timestamptz not null default now(),
  resolved_at  timestamptz,

  constraint a_row_is_rejected_once unique (source, legacy_table, hash)
);

comment on table private.import_rejects is
  'The rows that an import could not take, with the reason (private.import_kept). docs/import.md lists the '
  'reasons.';
comment on column private.import_rejects.row_id is 'The id in the source; of a longer one the first 500 characters.';
comment on column private.import_rejects.resolved_at is
  'When the row, or one that mends it, was imported after all; it is not imported again.';

create index import_rejects_row_id_idx on private.import_rejects (legacy_table, row_id)
where resolved_at is null or reason = 'thinker_erased';

-- whether a booking of a voucher waits, or was an erased thinker's; an index holds no long id
create index import_rejects_voucher_id_idx on private.import_rejects (left(content ->> 'voucher_id', 256) collate "C")
where legacy_table = 'voucher_bookings' and (resolved_at is null or reason = 'thinker_erased');

alter table private.import_rejects enable row level security;
