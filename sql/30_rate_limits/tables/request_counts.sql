create unlogged table private.request_counts (
  client         text        collate "C" primary key,
  requests       integer     not null,
  window_ends_at timestamptz not null
);

comment on table private.request_counts is
  'The number of requests of each client in its current minute, for the rate limits of /api, and of blocks of 64 KiB '
  'that it uploaded within 24 hours. Unlogged: lost after a crash. Written by count_request.';
comment on column private.request_counts.client is 'The limited route and the client''s address.';

create index request_counts_window_ends_at_idx on private.request_counts (window_ends_at);

alter table private.request_counts enable row level security;
