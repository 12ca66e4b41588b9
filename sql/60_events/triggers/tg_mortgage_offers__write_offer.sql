create function private.tg_mortgage_offers__write_offer()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'mortgage.offer', new.lender_id, 'mortgage_offer', new.id,
    jsonb_build_object('applicationId', new.application_id) || private.loan_difference(new, a)
  from public.mortgage_applications a
  where a.id = new.application_id;
  return null;
end;
$$;

comment on function private.tg_mortgage_offers__write_offer is 'Writes the event mortgage.offer.';

create trigger tg_mortgage_offers__write_offer
  after insert on public.mortgage_offers
  for each row
  when (not private.is_import())
  execute function private.tg_mortgage_offers__write_offer();
