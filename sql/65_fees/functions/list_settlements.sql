create function public.list_settlements(
  beneficiary_uid text    default null,
  status          text    default null,
  max_rows        integer default 200
)
returns jsonb
language sql
stable
set search_path = ''
set statement_timeout = '10s'
as $$
  select private.require_admin();

  select coalesce(jsonb_agg(private.settlement_json(s) order by s.period_from desc, s.created_at desc, s.id desc), '[]')
  from (
    select *
    from public.settlements s
    where (
        list_settlements.beneficiary_uid is null
        or s.beneficiary_id = private.thinker_id(list_settlements.beneficiary_uid)
      )
      and (list_settlements.status is null or s.status = list_settlements.status)
    order by s.period_from desc, s.created_at desc, s.id desc
    limit least(greatest(list_settlements.max_rows, 1), 1000)
  ) s
$$;

comment on function public.list_settlements is
  'The settlements that match all given filters, latest period first: max_rows of them, from 1 to 1000. '
  'Raises: not_an_admin (403).';

grant execute on function public.list_settlements to service_role, authenticated;
