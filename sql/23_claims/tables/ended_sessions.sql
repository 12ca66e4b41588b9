create table private.ended_sessions (
  session_id uuid        primary key,
  ended_at   timestamptz not null default now()
);

comment on table private.ended_sessions is
  'Browser sessions that were signed out, or whose thinkers an operator released: their cookies prove nothing any '
  'more. Kept for longer than a cookie lives.';

create index ended_sessions_ended_at_idx on private.ended_sessions (ended_at);

alter table private.ended_sessions enable row level security;
