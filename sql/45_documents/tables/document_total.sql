create table private.document_total (
  only_row boolean primary key default true,
  bytes    numeric not null,

  constraint there_is_one_row check (only_row)
);

comment on table private.document_total is
  'The bytes of all documents, for private.settings.document_bytes; each document counts as 64 KiB at least, because a '
  'small one costs a folder, a file and rows, too. Written by the trigger tg_contracts__count.';

alter table private.document_total enable row level security;
