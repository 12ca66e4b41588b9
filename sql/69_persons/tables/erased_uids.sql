create table private.erased_uids (
  hash bytea primary key,

  constraint hash_is_a_sha256 check (octet_length(hash) = 32)
);

comment on table private.erased_uids is
  'The thinkers that were erased (private.erase_thinker): an import takes no row that names one. Without a time, which '
  'would lead to the pseudonym.';
comment on column private.erased_uids.hash is 'SHA-256 of the uid.';

alter table private.erased_uids enable row level security;
