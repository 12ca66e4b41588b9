create table private.claims (
  id         bigint      generated always as identity primary key,
  thinker_id uuid        not null references public.thinkers (id) on delete cascade,
  session_id uuid,
  is_proven  boolean     not null default false,
  is_own     boolean     not null default false,
  claimed_at timestamptz default clock_timestamp(),

  constraint claims_one_a_session unique nulls not distinct (thinker_id, session_id),
  constraint a_free_uid_is_not_proven check (session_id is not null or not is_proven),
  constraint a_shared_token_is_proven check (is_proven or not is_own)
);

comment on table private.claims is
  'The thinkers of browser sessions. A uid that a page made up belongs to the session that used it first; the thinker '
  'of a token to each session that proved the token. Written by claim_thinker, prove_thinker and '
  'release_thinker.';
comment on column private.claims.session_id is
  'The id in the session''s cookie; null for a thinker that was only named by another one, and waits for its first '
  'session.';
comment on column private.claims.claimed_at is
  'When the latest session claimed it; null for a thinker that no session has used yet.';
comment on column private.claims.is_proven is 'Whether the session has proved the thinker''s token.';
comment on column private.claims.is_own is
  'Whether that token is a shared one (SHARED_TOKENS), whose thinker is another in each session.';

-- one session, or none yet, for a uid that a page made up
create unique index claims_first_session_idx on private.claims (thinker_id) where not is_proven;
create index claims_session_id_idx on private.claims (session_id, claimed_at);

alter table private.claims enable row level security;
