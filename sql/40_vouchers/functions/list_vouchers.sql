create function public.list_vouchers(
  issuer_uid text    default null,
  holder_uid text    default null,
  status     text    default null,
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
-- a page is read to its end: the plan for its first rows walks the vouchers of others to find the last ones
set cursor_tuple_fraction = 1
as $$
declare
  key  text[] := private.page_key(list_vouchers.after);
  page refcursor;
  -- the policy alone, which knows admins, would read the rows of all others
  mine uuid;
  seen text[];
begin
  perform private.is_valid_request();
  if not private.may_act_as('admin') then
    mine := auth.uid();
    seen := array(select private.held_vouchers()) || array(
      -- the newest open offers, in the order of their index
      select v.id
      from public.vouchers v
      where v.status = 'issued' and v.holder_id is null and v.issued_to is null and v.valid_until > now()
        and (list_vouchers.issuer_uid is null or v.issuer_id = private.thinker_id(list_vouchers.issuer_uid))
        and (v.created_at, v.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
      order by v.created_at desc, v.id desc
      limit private.page_rows(list_vouchers.max_rows) + 1
    );
  end if;
  open page for
    select private.voucher_json(v) as item, array[v.created_at::text, v.id] as key
    from public.vouchers v
    where (list_vouchers.issuer_uid is null or v.issuer_id = private.thinker_id(list_vouchers.issuer_uid))
      and (list_vouchers.holder_uid is null or v.holder_id = private.thinker_id(list_vouchers.holder_uid))
      and (list_vouchers.status is null or v.status = list_vouchers.status)
      and (mine is null or v.issuer_id = mine or v.id = any (seen))
      and (v.created_at, v.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by v.created_at desc, v.id desc
    limit private.page_rows(list_vouchers.max_rows) + 1;
  return private.read_page(
    page, list_vouchers.max_rows, oldest_first => true, max_bytes => list_vouchers.max_bytes
  );
end;
$$;

comment on function public.list_vouchers is
  'The vouchers that the caller may see and that match all given filters: a page of max_rows, from 1 to 1000. The '
  'first page has the newest vouchers; each page is sorted oldest first (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function private.thinker_id to service_role, authenticated;
grant execute on function public.list_vouchers to service_role, authenticated;
