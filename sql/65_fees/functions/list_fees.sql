create function public.list_fees()
returns jsonb
language sql
stable
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
  select private.require_admin();

  select coalesce(
    jsonb_agg(
      to_jsonb(f) || jsonb_build_object(
        'beneficiary_uid', private.uid_of(f.beneficiary_id),
        'versions', (
          select jsonb_agg(
            to_jsonb(v) || jsonb_build_object('beneficiary_uid', private.uid_of(v.beneficiary_id))
            order by v.valid_from desc, v.id desc
          )
          from public.fee_versions v
          where v.fee_id = f.id
        )
      )
      order by f.id
    ),
    '[]'
  )
  from public.fees f
$$;

comment on function public.list_fees is
  'The fees, each with its versions, newest first; the first version is in force. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_fees to service_role, authenticated;
