create function public.get_balance(as_of date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  zone     text;
  day      date;
  day_ends timestamptz;
  balance  jsonb;
begin
  perform private.require_admin();
  select s.time_zone, coalesce(get_balance.as_of, (now() at time zone s.time_zone)::date) into zone, day
  from private.settings s;
  if day not between '0001-01-01' and '9999-12-30' then
    raise sqlstate 'PT400' using message = 'days_invalid';
  end if;
  day_ends := (day + 1)::timestamp at time zone zone;

  with settlements as (
    select
      s.*, coalesce(s.invoiced_at < day_ends, false) as is_invoiced,
      coalesce(s.written_off_at < day_ends, false) as is_written_off,
      coalesce(
        (
          select sum(p.amount_cents)
          from public.settlement_payments p
          -- a payment before the invoice counts from the invoice on
          where p.settlement_id = s.id and greatest(p.paid_on, (s.invoiced_at at time zone zone)::date) <= day
        ),
        0
      ) as paid
    from public.settlements s
    where s.created_at < day_ends and (s.voided_at is null or s.voided_at >= day_ends)
  ),
  amounts as (
    select s.beneficiary_id, s.currency, 'open' as state, s.total_cents::numeric as cents
    from settlements s
    where not s.is_invoiced
    union all
    select s.beneficiary_id, s.currency, case when s.is_written_off then 'written_off' else 'invoiced' end,
      s.total_cents - s.paid
    from settlements s
    where s.is_invoiced
    union all
    select s.beneficiary_id, s.currency, 'paid', s.paid
    from settlements s
    where s.is_invoiced
    union all
    select e.beneficiary_id, e.currency, 'unsettled', e.amount_cents
    from public.fee_events e
    where e.created_at < day_ends and not exists (
      select from public.settlement_lines l
      join settlements s on s.id = l.settlement_id
      where l.fee_event_id = e.id
    )
    union all
    select e.beneficiary_id, e.currency, 'total', e.amount_cents
    from public.fee_events e
    where e.created_at < day_ends
  ),
  sums as (
    select
      private.uid_of(a.beneficiary_id) as beneficiary_uid,
      a.currency,
      private.currency_exponent(a.currency) as decimals,
      coalesce(sum(a.cents) filter (where a.state = 'unsettled'), 0) as unsettled_cents,
      coalesce(sum(a.cents) filter (where a.state = 'open'), 0) as open_cents,
      coalesce(sum(a.cents) filter (where a.state = 'invoiced'), 0) as invoiced_cents,
      coalesce(sum(a.cents) filter (where a.state = 'paid'), 0) as paid_cents,
      coalesce(sum(a.cents) filter (where a.state = 'written_off'), 0) as written_off_cents,
      coalesce(sum(a.cents) filter (where a.state = 'total'), 0) as total_cents
    from amounts a
    group by a.beneficiary_id, a.currency
  )
  select jsonb_build_object(
    'as_of', day,
    'items', coalesce(jsonb_agg(to_jsonb(s) order by s.beneficiary_uid collate "C", s.currency), '[]')
  )
  into balance
  from sums s;
  return balance;
end;
$$;

comment on function public.get_balance is
  'The trial balance at the end of a day (as_of, by default today) in the time zone of private.settings: {as_of, '
  'items}; an item for each beneficiary and currency, in its minor unit: unsettled, open, invoiced (what is not '
  'paid), paid and written_off, which add up to total, the sum of all fee events until then. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.get_balance to authenticated, service_role;
