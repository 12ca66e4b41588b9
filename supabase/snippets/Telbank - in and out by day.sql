-- Transfers logged on each of the last 30 days, in whole units. Chart: day, net.
select
  day,
  coalesce(network, 'no network') as network,
  currency,
  transfers,
  round(in_cents / 10.0 ^ decimals, decimals) as incoming,
  round(out_cents / 10.0 ^ decimals, decimals) as outgoing,
  round(net_cents / 10.0 ^ decimals, decimals) as net
from stats.transfers_by_day
where day > current_date - 30
order by day, network, currency;
