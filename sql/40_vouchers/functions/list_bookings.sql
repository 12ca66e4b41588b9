create function public.list_bookings(
  holder_uid text default null,
  issuer_uid text default null,
  voucher_id text default null
)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(private.booking_json(b) order by b.created_at desc, b.id desc), '[]')
  from public.voucher_bookings b
  where (list_bookings.holder_uid is null or b.holder_id = private.thinker_id(list_bookings.holder_uid))
    and (list_bookings.issuer_uid is null or b.issuer_id = private.thinker_id(list_bookings.issuer_uid))
    and (list_bookings.voucher_id is null or b.voucher_id = list_bookings.voucher_id)
$$;

comment on function public.list_bookings is
  'The bookings that the caller may see and that match all given filters, newest first.';

grant execute on function public.list_bookings to service_role, authenticated;
