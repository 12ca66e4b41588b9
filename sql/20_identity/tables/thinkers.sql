create table public.thinkers (
  id          uuid        primary key,
  public_id   text        collate "C" not null unique,
  roles       text[]      not null default '{}',
  meta        jsonb       not null default '{}',
  verified_at timestamptz,
  created_at  timestamptz not null default now(),
  no_overlap_across_vouchers boolean not null default false,

  constraint id_follows_from_public_id check (id = private.thinker_id(public_id)),
  constraint public_id_has_1_to_255_characters check (char_length(public_id) between 1 and 255),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint roles_are_known check (roles <@ array['lender', 'notary', 'admin']),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, verified_at))
);

comment on table public.thinkers is 'The users of the portal.';
comment on column public.thinkers.public_id is
  'The uid that the portal uses: thinker-<12 hex> derived from a token, a uid that a browser generated, or the id of a '
  'Supabase Auth user.';
comment on column public.thinkers.roles is 'Additional permissions of a thinker: lender, notary, admin.';
comment on column public.thinkers.no_overlap_across_vouchers is
  'Whether this issuer has one appointment at a time, over all of its vouchers; by default only bookings of one '
  'voucher never overlap. Set by operators.';
comment on column public.thinkers.meta is 'Optional profile; visible to contacts, like every column here.';
comment on column public.thinkers.verified_at is 'When the thinker last proved its token at /api/presence/verify.';

create index thinkers_created_at_idx on public.thinkers (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.thinkers
  alter column public_id set statistics 0;

alter table public.thinkers enable row level security;

grant select on public.thinkers to service_role, authenticated;

create policy "thinkers see themselves and their contacts"
  on public.thinkers
  for select
  to authenticated
  using (
    id = (select auth.uid())
    or id in (select private.my_contacts())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.thinkers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));
