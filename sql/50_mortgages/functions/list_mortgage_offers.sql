create function public.list_mortgage_offers(
  role           text    default null,
  application_id text    default null,
  newest_first   boolean default false,
  max_rows       integer default 1000,
  after          text    default null,
  max_bytes      integer default null
)
returns jsonb[]
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_mortgage_offers.after);
  page refcursor;
begin
  perform private.is_valid_request();
  if list_mortgage_offers.role not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_offers.role is null and list_mortgage_offers.application_id is null then
    raise sqlstate 'PT400' using message = 'application_required';
  end if;

  open page for
    select private.offer_json(o) as item, array[o.created_at::text, o.id] as key
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where (list_mortgage_offers.application_id is null or o.application_id = list_mortgage_offers.application_id)
      and case list_mortgage_offers.role
        -- by id: how many offers an application has is not known, and a plan for many would read those of all
        when 'borrower' then a.borrower_id = auth.uid() and o.id = any (array(select private.my_offers()))
        when 'lender' then o.lender_id = auth.uid()
        else private.is_service() or auth.uid() in (a.borrower_id, o.lender_id)
      end
      and (o.created_at, o.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by o.created_at desc, o.id desc
    limit private.page_rows(list_mortgage_offers.max_rows) + 1;
  return private.read_page(
    page,
    list_mortgage_offers.max_rows,
    oldest_first => not list_mortgage_offers.newest_first,
    max_bytes => list_mortgage_offers.max_bytes
  );
end;
$$;

comment on function public.list_mortgage_offers is
  'As borrower: the offers for the actor''s applications. As lender: the actor''s own offers. Without a role: the '
  'offers for one application to which the actor is a party, or all of them for a trusted server. A page of '
  'max_rows, from 1 to 1000. The first page has the newest offers; each page is sorted oldest first, or newest first '
  'where newest_first is true (private.read_page). '
  'Raises: application_required, query_too_large, role_unknown, value_invalid (400); session_ended (401).';

grant execute on function public.list_mortgage_offers to authenticated, service_role;
