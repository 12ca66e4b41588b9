create function private.due_months()
returns setof date
language sql
stable
set search_path = ''
as $$
  select distinct date_trunc('month', e.created_at at time zone s.time_zone)::date as month
  from public.fee_events e
  cross join private.settings s
  where e.settlement_id is null
    and date_trunc('month', e.created_at at time zone s.time_zone) < date_trunc('month', now() at time zone s.time_zone)
  order by month
$$;

comment on function private.due_months is
  'The months that are over and have fee events in no settlement, as their first days, oldest first: the last month, and whichever '
  'was missed, was voided, or got a fee event after it was settled. Months of the time zone of private.settings.';
