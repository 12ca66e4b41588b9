create table public.thinkers (
  id          uuid        primary key,
  public_id   text        not null unique,
  roles       text[]      not null default '{}',
  meta        jsonb       not null default '{}',
  verified_at timestamptz,
  created_at  timestamptz not null default now(),

  constraint id_follows_from_public_id check (id = private.thinker_id(public_id)),
  constraint public_id_has_1_to_255_characters check (char_length(public_id) between 1 and 255),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint roles_are_known check (roles <@ array['lender', 'notary', 'admin']),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, verified_at))
);

comment on table public.thinkers is 'Everybody who acts or is acted for (specification, 1.1).';
comment on column public.thinkers.public_id is
  'The uid that the portal uses: thinker-<12 hex> derived from a token, a browser''s own uid, or the id of a Supabase Auth user.';
comment on column public.thinkers.roles is 'What a thinker may do beyond its own affairs: lender, notary, admin.';
comment on column public.thinkers.meta is 'Optional profile; contacts see it, like every column here.';
comment on column public.thinkers.verified_at is 'When the thinker last proved its token at /api/presence/verify.';

create index thinkers_created_at_idx on public.thinkers (created_at);

-- no statistics: estimates of row counts would tell the values of rows that one may not see
alter table public.thinkers
  alter column public_id set statistics 0;

alter table public.thinkers enable row level security;

grant select on public.thinkers to service_role, authenticated;

create policy "thinkers see themselves and whom they have to do with"
  on public.thinkers
  for select
  to authenticated
  using (
    id = (select auth.uid())
    or id in (select private.my_contacts())
    or (select private.may_act_as('admin'))
  );
