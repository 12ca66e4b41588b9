-- In, out and net of the last 30 days, in whole units.
select
  currency,
  sum(transfers) as transfers,
  round(sum(in_cents) / 10.0 ^ decimals, decimals) as incoming,
  round(sum(out_cents) / 10.0 ^ decimals, decimals) as outgoing,
  round(sum(net_cents) / 10.0 ^ decimals, decimals) as net
from stats.transfers_by_day
where day > current_date - 30
group by currency, decimals
order by transfers desc;
