create table public.transfers (
  id               text           collate "C" primary key,
  thinker_id       uuid           references public.thinkers (id) on delete restrict,
  direction        text           not null,
  wallet_address   text           collate "C",
  network          text           collate "C",
  crypto_amount    numeric        not null,
  crypto_symbol    text           not null,
  fiat_amount      bigint         not null,
  fiat_currency    text           collate "C" not null,
  external_account text,
  label            text           not null,
  meta             jsonb          not null default '{}',
  status           text           not null default 'logged',
  created_at       timestamptz    not null default now(),
  updated_at       timestamptz    not null default now(),

  constraint direction_is_valid check (direction in ('in', 'out')),
  constraint wallet_address_has_1_to_255_characters check (char_length(wallet_address) between 1 and 255),
  constraint crypto_symbol_has_1_to_32_characters check (char_length(crypto_symbol) between 1 and 32),
  constraint fiat_currency_has_1_to_32_characters check (char_length(fiat_currency) between 1 and 32),
  constraint fiat_amount_is_a_safe_amount check (fiat_amount between -9007199254740991 and 9007199254740991),
  -- NaN is above every number
  constraint crypto_amount_has_at_most_18_digits_before_the_point check (abs(crypto_amount) < 1e18),
  constraint transfer_status_is_valid check (status in ('logged', 'settled')),
  constraint updated_at_is_not_before_created_at check (updated_at >= created_at),
  constraint network_and_account_have_at_most_4_kib
    check (octet_length(network) <= 4096 and octet_length(external_account) <= 4096),
  -- the legacy servers took 120,000 characters; a control character is printed with six
  constraint label_has_at_most_128_kib check (octet_length(to_json(label)::text) <= 131072),
  -- so short a text has no more levels, and no number beyond a double
  constraint json_is_reasonable check (octet_length(meta::text) <= 126 or private.check_json(meta)),
  constraint transfer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (
    least(created_at, updated_at) >= '0001-01-01 00:00:00+00'
    and greatest(created_at, updated_at) < '10000-01-01 00:00:00+00'
  )
);

comment on table public.transfers is
  'The log of transfer intents between crypto and fiat money; no money is moved. Written by log_transfer.';
comment on column public.transfers.thinker_id is 'The thinker who logged it; null if unknown.';
comment on column public.transfers.crypto_amount is
  'In units of crypto_symbol (1.5 is 1.5 ETH). A negative amount is a correction, which the legacy API allowed. '
  'With all its decimals: numeric(36,18) would round the nineteenth.';
comment on column public.transfers.fiat_amount is
  'In the minor unit of fiat_currency (cents; see private.currency_exponent). A negative amount is a correction; that '
  'of a thinker is charged as the positive one.';
comment on column public.transfers.fiat_currency is 'One of private.currencies; in old rows as the client sent it.';
comment on column public.transfers.external_account is 'IBAN, Skrill account or reference.';

create index transfers_wallet_address_idx on public.transfers (wallet_address, created_at);
create index transfers_thinker_id_idx on public.transfers (thinker_id, created_at);
create index transfers_created_at_idx on public.transfers (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.transfers
  alter column id set statistics 0,
  alter column crypto_symbol set statistics 0,
  alter column wallet_address set statistics 0,
  alter column network set statistics 0,
  alter column external_account set statistics 0,
  alter column label set statistics 0;

alter table public.transfers enable row level security;

grant select on public.transfers to service_role, authenticated;

create policy "thinkers see the transfers that they logged"
  on public.transfers
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.transfers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- fees depend on these rows
create trigger tg_transfers__refuse
before delete or truncate on public.transfers
for each statement execute function private.tg_append_only__refuse();

create trigger tg_transfers__refuse_currency
before insert or update of fiat_currency on public.transfers
for each row
when (new.fiat_currency <> 'EUR' and private.is_currency(new.fiat_currency) is false)
execute function private.tg_currency__refuse();
