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
  'The first days of the past months that have fee events in no settlement, oldest first: the last month, and earlier '
  'months that were missed, voided, or got a fee event after they were settled. In the time zone of private.settings.';
