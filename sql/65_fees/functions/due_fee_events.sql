create function private.due_fee_events(period_to date)
returns table (
    id uuid, beneficiary_id uuid, currency text, amount_cents bigint, reverses uuid, adjusts uuid, part text
)
language sql
stable
rows 100000
set search_path = ''
as $$
  with due as (
    select
      u.id, u.beneficiary_id, u.currency, u.amount_cents, u.reverses, u.adjusts, u.payer_id,
      sum(u.amount_cents) over payer < 0 as is_credit,
      case when sum(abs(u.amount_cents)) over payer >= 4e18 then coalesce(u.payer_id::text, '') end as large_payer
    from private.unsettled_fee_events u
    cross join private.settings s
    where u.counts_at < due_fee_events.period_to::timestamp at time zone s.time_zone
      and coalesce(u.closed_until < due_fee_events.period_to, true)
      and u.id not in (select private.waiting_credits())
    window payer as (partition by u.beneficiary_id, u.currency, u.payer_id)
  ),
  numbered as (
    select
      d.*,
      -- all fee events of a payer are peers, and stay together, but for those of a large payer
      div(
        sum(abs(d.amount_cents)) over (
          partition by d.beneficiary_id, d.currency, d.is_credit, d.large_payer
          -- a charge and what takes it back are in one part
          order by d.payer_id, case when d.large_payer is not null then coalesce(d.reverses, d.adjusts, d.id) end
        ),
        4e18
      ) as number
    from due d
    cross join private.settings s
    where not d.is_credit or not s.carries_negative_totals
  )
  select
    n.id, n.beneficiary_id, n.currency, n.amount_cents, n.reverses, n.adjusts,
    case when n.is_credit or n.large_payer is not null or n.number > 0
      then concat_ws(' ', n.is_credit, n.number, n.large_payer)
      else ''
    end
  from numbered n
$$;

comment on function private.due_fee_events is
  'The fee events that are in no settlement and count before the day period_to, in the time zone of '
  'private.settings (private.unsettled_fee_events). Without those of a beneficiary and currency for which a period up '
  'to that day is invoiced: they count in a later one. Without the credits of an invoice that is not paid '
  '(private.waiting_credits), and without those of a payer whose sum, for a beneficiary and currency, is negative, as '
  'private.settings.carries_negative_totals says: the credit of one payer must not pay the debt of another, nor keep '
  'it from being settled. part names the settlements of a beneficiary and currency: usually it is empty. Credits that '
  'are not carried are apart from charges, and where a sum may exceed a bigint there are several parts, so that the '
  'extreme amounts of one payer do not block the others.';
