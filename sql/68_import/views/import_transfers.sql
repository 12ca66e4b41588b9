create view private.import_transfers
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'direction' as direction,
  nullif(s.content ->> 'wallet_address', '') as wallet_address,
  s.content ->> 'network' as network,
  trim_scale((s.content ->> 'crypto_amount')::numeric) as crypto_amount,
  s.content ->> 'crypto_symbol' as crypto_symbol,
  -- as log_transfer does: half away from zero. Of NaN and Infinity bigint does not say that they are out of its range
  round(greatest(least(amount.minor, 1e30), -1e30))::bigint as fiat_amount,
  amount.currency as fiat_currency,
  s.content ->> 'external_account' as external_account,
  coalesce(
    s.content ->> 'label',
    case s.content ->> 'direction' when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
  ) as label,
  coalesce(private.import_json(s.content ->> 'meta'), '{}') as meta,
  private.import_word(s.content ->> 'status') as status,
  private.import_time(s.content ->> 'created_at') as created_at,
  private.import_time(s.content ->> 'updated_at') as updated_at,
  amount.minor as exact_amount,
  amount.currency as exact_currency
from private.import_staging s
cross join lateral (
  select
    case when s.content ->> 'fiat_currency' <> '' then private.import_currency(s.content ->> 'fiat_currency') end
      as currency,
    (s.content ->> 'fiat_amount')::numeric
    * 10::numeric ^ private.currency_exponent(s.content ->> 'fiat_currency') as minor
) amount;

comment on view private.import_transfers is
  'The rows of a batch of the legacy table transfers, as they are written. Fiat amounts are major units there.';
