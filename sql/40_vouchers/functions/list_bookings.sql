create function public.list_bookings(
  holder_uid text    default null,
  issuer_uid text    default null,
  voucher_id text    default null,
  max_rows   integer default 1000,
  after      text    default null,
  max_bytes  integer default null
)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_bookings.after);
  page refcursor;
  -- the policy alone, which knows admins, would read the rows of all others
  mine uuid;
begin
  perform private.is_valid_request();
  if not private.may_act_as('admin') then
    mine := auth.uid();
  end if;
  open page for
    select private.booking_json(b) as item, array[b.created_at::text, b.id] as key
    from public.voucher_bookings b
    where (list_bookings.holder_uid is null or b.holder_id = private.thinker_id(list_bookings.holder_uid))
      and (list_bookings.issuer_uid is null or b.issuer_id = private.thinker_id(list_bookings.issuer_uid))
      and (list_bookings.voucher_id is null or b.voucher_id = list_bookings.voucher_id)
      and (mine is null or b.issuer_id = mine or b.holder_id = mine)
      and (b.created_at, b.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by b.created_at desc, b.id desc
    limit private.page_rows(list_bookings.max_rows) + 1;
  return private.read_page(page, list_bookings.max_rows, max_bytes => list_bookings.max_bytes);
end;
$$;

comment on function public.list_bookings is
  'The bookings that the caller may see and that match all given filters, newest first: a page of max_rows, from 1 to '
  '1000 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function public.list_bookings to service_role, authenticated;
