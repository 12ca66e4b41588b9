create table public.contract_links (
  id          uuid        primary key default private.new_uuid(),
  contract_id uuid        not null references public.contracts (id) on delete cascade,
  voucher_id  text        collate "C" references public.vouchers (id) on delete restrict,
  room_id     text        collate "C" references public.rooms (id) on delete restrict,
  role        text        not null default 'primary',
  created_at  timestamptz not null default now(),

  constraint link_role_is_valid check (role in ('primary', 'annex', 'offer', 'application')),
  constraint link_has_a_voucher_or_a_room check (num_nonnulls(voucher_id, room_id) >= 1),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.contract_links is 'Which voucher, room or both a document belongs to.';

create index contract_links_contract_id_idx on public.contract_links (contract_id);
create index contract_links_voucher_id_idx on public.contract_links (voucher_id);
create index contract_links_room_id_idx on public.contract_links (room_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.contract_links
  alter column voucher_id set statistics 0,
  alter column room_id set statistics 0;

alter table public.contract_links enable row level security;

grant select on public.contract_links to service_role, authenticated;

create policy "creators and parties see the links of their documents"
  on public.contract_links
  for select
  to authenticated
  using (
    id in (select private.my_contract_links())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.contract_links
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));
