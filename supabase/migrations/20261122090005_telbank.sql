create table public.transfers (
  id               text           primary key,
  direction        text           not null,
  wallet_address   text,
  network          text,
  crypto_amount    numeric(36,18) not null,
  crypto_symbol    text           not null,
  fiat_amount      bigint         not null,
  fiat_currency    text           not null,
  external_account text,
  meta             jsonb          not null default '{}',
  status           text           not null default 'logged',
  created_at       timestamptz    not null default now(),
  updated_at       timestamptz    not null default now(),
  label            text           not null,
  thinker_id       uuid           references public.thinkers (id) on delete restrict,

  constraint direction_is_valid check (direction in ('in', 'out')),
  constraint wallet_address_has_1_to_255_characters check (char_length(wallet_address) between 1 and 255),
  constraint crypto_symbol_has_1_to_32_characters check (char_length(crypto_symbol) between 1 and 32),
  constraint fiat_currency_has_1_to_32_characters check (char_length(fiat_currency) between 1 and 32),
  constraint fiat_amount_is_a_safe_amount check (fiat_amount between -9007199254740991 and 9007199254740991),
  constraint crypto_amount_is_a_number check (crypto_amount <> 'NaN'),
  constraint transfer_status_is_valid check (status in ('logged', 'settled')),
  constraint updated_at_is_not_before_created_at check (updated_at >= created_at),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint transfer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, updated_at))
);

comment on table public.transfers is
  'The log of transfer intents between crypto and fiat (specification, 1.5); nothing is executed. Written by log_transfer.';
comment on column public.transfers.crypto_amount is
  'In units of crypto_symbol (1.5 is one and a half ETH). May be negative, as the legacy API lets it: a correction.';
comment on column public.transfers.fiat_amount is
  'The minor unit of fiat_currency (cents; see private.currency_exponent). May be negative: a correction.';
comment on column public.transfers.fiat_currency is 'As it was sent.';
comment on column public.transfers.external_account is 'IBAN, Skrill account or reference.';
comment on column public.transfers.thinker_id is 'Who logged it, where that is known.';

create index transfers_wallet_address_idx on public.transfers (wallet_address, created_at);
create index transfers_thinker_id_idx on public.transfers (thinker_id);
create index transfers_created_at_idx on public.transfers (created_at);

alter table public.transfers enable row level security;

grant select on public.transfers to service_role;

create function private.currency_exponent(currency text)
returns integer
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when upper(currency) in (
      'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF'
    ) then 0
    when upper(currency) in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
    when upper(currency) in ('CLF', 'UYW') then 4
    else 2
  end
$$;

comment on function private.currency_exponent is
  'How many decimals a currency''s minor unit has (ISO 4217): 0 for JPY, 3 for KWD, 2 for most and for the unknown.';

create function private.transfer_json(transfer public.transfers)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(transfer) || jsonb_build_object(
    'crypto_amount', trim_scale(transfer.crypto_amount),
    'fiat_exponent', private.currency_exponent(transfer.fiat_currency),
    'thinker_uid', private.uid_of(transfer.thinker_id)
  )
$$;

comment on function private.transfer_json is
  'A transfer as the functions return it: its columns, the decimals of its fiat currency, and the uid of who logged it.';

grant execute on function private.currency_exponent to service_role;
grant execute on function private.transfer_json to service_role;

create function public.log_transfer(
  direction        text,
  crypto_amount    numeric,
  crypto_symbol    text,
  fiat_major       numeric,
  fiat_currency    text,
  label            text  default null,
  wallet_address   text  default null,
  network          text  default null,
  external_account text  default null,
  meta             jsonb default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker    uuid;
  fiat_minor numeric;
  transfer   public.transfers;
begin
  if auth.uid() is not null or not private.is_service() then
    thinker := private.acting_thinker();
  end if;

  if coalesce(log_transfer.direction, '') not in ('in', 'out') then
    raise sqlstate 'PT400' using message = 'direction_unknown';
  end if;
  if num_nulls(
    log_transfer.crypto_amount, log_transfer.crypto_symbol, log_transfer.fiat_major, log_transfer.fiat_currency
  ) > 0 then
    raise sqlstate 'PT400' using message = 'amounts_required';
  end if;

  -- NaN is greater than every number, and so refused with the infinities
  fiat_minor := log_transfer.fiat_major * 10::numeric ^ private.currency_exponent(log_transfer.fiat_currency);
  if abs(fiat_minor) > 9007199254740991 or abs(log_transfer.crypto_amount) >= 1e18 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;

  insert into public.transfers (
    id, direction, wallet_address, network, crypto_amount, crypto_symbol,
    fiat_amount, fiat_currency, external_account, meta, label, thinker_id
  )
  values (
    private.new_id(log_transfer.direction),
    log_transfer.direction,
    log_transfer.wallet_address,
    log_transfer.network,
    log_transfer.crypto_amount,
    log_transfer.crypto_symbol,
    round(fiat_minor),
    log_transfer.fiat_currency,
    log_transfer.external_account,
    coalesce(log_transfer.meta, '{}'),
    coalesce(
      log_transfer.label,
      case log_transfer.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
    ),
    thinker
  )
  returning * into transfer;

  return private.transfer_json(transfer);
end;
$$;

comment on function public.log_transfer is
  'Logs a transfer intent of the acting thinker, or of nobody in particular for a trusted server. fiat_major is in the '
  'currency''s major unit (euros) and is rounded to the minor unit, half away from zero; crypto_amount keeps 18 decimals. '
  'Returns the transfer. Refuses: not_signed_in (401); direction_unknown, amounts_required, amount_out_of_range (400).';

grant execute on function public.log_transfer to authenticated, service_role;

create function public.list_transfers(wallet_address text default null, direction text default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.transfer_json(t) order by t.created_at desc, t.id desc), '[]')
  from public.transfers t
  where (list_transfers.wallet_address is null or t.wallet_address = list_transfers.wallet_address)
    and (list_transfers.direction is null or t.direction = list_transfers.direction)
$$;

comment on function public.list_transfers is
  'The transfers that the caller may read and that fit every given filter exactly, newest first.';

grant execute on function public.list_transfers to service_role;

create function public.get_transfer(transfer_id text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  transfer public.transfers;
begin
  select * into transfer from public.transfers t where t.id = get_transfer.transfer_id;
  if not found then
    raise sqlstate 'PT404' using message = 'transfer_not_found';
  end if;
  return private.transfer_json(transfer);
end;
$$;

comment on function public.get_transfer is 'One transfer that the caller may read. Refuses: transfer_not_found (404).';

grant execute on function public.get_transfer to service_role;
