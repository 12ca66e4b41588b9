-- The policies of all tables of mortgages, in one file because they read each other's tables.

create policy "creators and readers of its applications see a property"
  on public.properties
  for select
  to authenticated
  using (
    id in (select private.my_properties())
    or (
      (select private.may_act_as('lender'))
      and exists (
        select from public.mortgage_applications a
        where a.property_id = properties.id and a.status in ('open', 'offered') and a.borrower_id <> (select auth.uid())
      )
    )
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.properties
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create policy "borrowers, lenders and notaries see their applications"
  on public.mortgage_applications
  for select
  to authenticated
  using (
    borrower_id = (select auth.uid())
    or (status in ('open', 'offered') and (select private.may_act_as('lender')))
    or id in (select private.my_applications())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.mortgage_applications
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create policy "parties see their offers, notaries those with a contract"
  on public.mortgage_offers
  for select
  to authenticated
  using (
    id in (select private.my_offers())
    or (
      (select private.may_act_as('notary'))
      and exists (select from public.mortgage_contracts c where c.offer_id = mortgage_offers.id)
    )
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.mortgage_offers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create policy "lender and borrower see their contracts, notaries all"
  on public.mortgage_contracts
  for select
  to authenticated
  using (
    offer_id in (select private.my_offers())
    or (select private.may_act_as('notary'))
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.mortgage_contracts
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));
