create function public.list_mortgage_applications(role text default 'borrower')
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if coalesce(list_mortgage_applications.role, '') not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_applications.role = 'lender' and not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'not_a_lender';
  end if;

  return (
    select coalesce(jsonb_agg(private.application_json(a) order by a.created_at, a.id), '[]')
    from public.mortgage_applications a
    where case list_mortgage_applications.role
      when 'borrower' then a.borrower_id = auth.uid()
      else a.status in ('open', 'offered')
    end
  );
end;
$$;

comment on function public.list_mortgage_applications is
  'As borrower: the actor''s own applications. As lender: all open and offered applications, for thinkers with the '
  'role lender and trusted servers. Oldest first. '
  'Raises: role_unknown (400); not_a_lender (403).';

grant execute on function public.list_mortgage_applications to authenticated, service_role;
