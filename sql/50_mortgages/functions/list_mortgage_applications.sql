create function public.list_mortgage_applications(
  role     text    default 'borrower',
  max_rows integer default 1000,
  after    text    default null
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
  key  text[] := private.page_key(list_mortgage_applications.after);
  page refcursor;
begin
  perform private.is_valid_request();
  if coalesce(list_mortgage_applications.role, '') not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_applications.role = 'lender' and not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'not_a_lender';
  end if;

  open page for
    select private.application_json(a) as item, array[a.created_at::text, a.id] as key
    from public.mortgage_applications a
    where case list_mortgage_applications.role
        when 'borrower' then a.borrower_id = auth.uid()
        else a.status in ('open', 'offered')
      end
      and (a.created_at, a.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by a.created_at desc, a.id desc
    limit private.page_rows(list_mortgage_applications.max_rows) + 1;
  return private.read_page(page, list_mortgage_applications.max_rows, oldest_first => true);
end;
$$;

comment on function public.list_mortgage_applications is
  'As borrower: the actor''s own applications. As lender: all open and offered applications, for thinkers with the '
  'role lender and trusted servers. A page of max_rows, from 1 to 1000. The first page has the newest '
  'applications; each page is sorted oldest first (private.read_page). '
  'Raises: query_too_large, role_unknown, value_invalid (400); session_ended (401); not_a_lender (403).';

grant execute on function public.list_mortgage_applications to authenticated, service_role;
