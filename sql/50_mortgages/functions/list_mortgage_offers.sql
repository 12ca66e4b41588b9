create function public.list_mortgage_offers(role text default null, application_id text default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if list_mortgage_offers.role not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_offers.role is null and list_mortgage_offers.application_id is null then
    raise sqlstate 'PT400' using message = 'application_required';
  end if;

  return (
    select coalesce(jsonb_agg(private.offer_json(o) order by o.created_at, o.id), '[]')
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where (list_mortgage_offers.application_id is null or o.application_id = list_mortgage_offers.application_id)
      and case list_mortgage_offers.role
        when 'borrower' then a.borrower_id = auth.uid()
        when 'lender' then o.lender_id = auth.uid()
        else private.is_service() or auth.uid() in (a.borrower_id, o.lender_id)
      end
  );
end;
$$;

comment on function public.list_mortgage_offers is
  'As borrower: the offers for the actor''s applications. As lender: the actor''s own offers. Without a role: the '
  'offers for one application to which the actor is a party, or all of them for a trusted server. Oldest first. '
  'Raises: application_required, role_unknown (400).';

grant execute on function public.list_mortgage_offers to authenticated, service_role;
