create function public.system_metrics()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
-- else the sums of many payers would be made on the disk
set work_mem = '32MB'
set statement_timeout = '2s'
as $$
declare
  checked text;
begin
  perform private.require_admin();

  -- the last run that has looked at all of them; one that ended otherwise says nothing
  select coalesce(r.error, '')
  into checked
  from private.job_runs r
  where r.job = 'check-invariants' and (r.done is not null or r.error like 'Violated: %')
  order by r.started_at desc
  limit 1;

  return jsonb_build_object(
    'jobs', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'name', j.name, 'age', extract(epoch from now() - j.last_good_run_at), 'is_late', j.is_late,
            'is_failing', j.state = 'failed'
          )
          order by j.name
        ),
        '[]'
      )
      from stats.jobs j
    ),
    'violated', case
      when checked is not null then (
        select coalesce(jsonb_object_agg(v.parts[1], v.parts[2]::bigint), '{}')
        from regexp_matches(checked, '([a-z_]+) \(([0-9]+)\)', 'g') as v (parts)
      )
    end,
    'unsettled_fees', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'currency', f.currency, 'cents', f.cents, 'age', extract(epoch from now() - f.oldest)
          )
          order by f.currency
        ),
        '[]'
      )
      from (
        select
          p.currency, sum(p.cents) as cents,
          -- the negative sum of a payer waits for later charges, for as long as there are none
          min(p.oldest_charge) filter (where p.cents >= 0) as oldest
        from (
          select
            e.currency, sum(e.amount_cents) as cents, count(*) as fee_events,
            min(e.created_at) filter (where e.amount_cents >= 0) as oldest_charge
          from public.fee_events e
          where e.settlement_id is null
          group by e.currency, e.beneficiary_id, e.payer_id
        ) p
        group by p.currency
        order by sum(p.fee_events) desc, p.currency
        limit 24
      ) f
    ),
    'partitions', (select count(*) from pg_catalog.pg_inherits p where p.inhparent = 'public.events'::regclass),
    'bytes', pg_catalog.pg_database_size(current_database())
  );
end;
$$;

comment on function public.system_metrics is
  'What GET /metrics says of the database: {jobs ({name, age (seconds since its last successful run began, or null), '
  'is_late, is_failing}), violated (the invariants that the last run of the job check-invariants found violated, with '
  'their numbers of rows; null if there was none), unsettled_fees ({currency, cents, age (seconds since the '
  'oldest charge, but for payers whose sum is negative; null if there is none)}: the 24 most used currencies), '
  'partitions (of the events), bytes (of the database)}. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.system_metrics to authenticated, service_role;
