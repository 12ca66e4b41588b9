create view stats.transfers_by_day
with (security_invoker = true)
as
select
  c.day, c.network, c.currency,
  -- joined, because thinkers choose the networks: there may be as many rows as transfers
  coalesce(e.exponent::integer, private.currency_exponent(c.currency)) as decimals,
  c.transfers, c.in_cents, c.out_cents, c.in_cents - c.out_cents as net_cents
from (
  select
    d.day, t.network, private.currency_code(t.fiat_currency) as currency,
    sum(t.transfers) as transfers, coalesce(sum(t.in_cents), 0) as in_cents, coalesce(sum(t.out_cents), 0) as out_cents
  from stats.days d
  -- summed by the currency as written first, because private.currency_code is slower than the sum
  cross join lateral (
    select
      t.network,
      t.fiat_currency,
      count(*) as transfers,
      sum(t.fiat_amount) filter (where t.direction = 'in') as in_cents,
      sum(t.fiat_amount) filter (where t.direction = 'out') as out_cents
    from private.transfer_facts t
    where t.created_at >= d.starts_at and t.created_at < d.ends_at
    group by t.network, t.fiat_currency
  ) t
  group by d.day, t.network, private.currency_code(t.fiat_currency)
) c
left join private.currency_facts e on e.code = c.currency;

comment on view stats.transfers_by_day is
  'Transfers logged on each day, by network (its first 200 characters; null if none was named) and currency '
  '(private.currency_code). A negative transfer is a correction, and is subtracted from its own direction.';
comment on column stats.transfers_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.transfers_by_day.net_cents is
  'in_cents minus out_cents. All three are in the currency''s minor unit.';

grant select on stats.transfers_by_day to service_role, stats_reader;
