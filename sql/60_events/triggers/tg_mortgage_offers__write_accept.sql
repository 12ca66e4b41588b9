create function private.tg_mortgage_offers__write_accept()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'accepted' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    select
      'mortgage.accept', coalesce(private.known_actor(), a.borrower_id), 'mortgage_offer', new.id,
      jsonb_build_object('applicationId', new.application_id, 'lenderUid', private.uid_of(new.lender_id))
      || private.loan_difference(new, a)
    from public.mortgage_applications a
    where a.id = new.application_id;
  end if;
  return null;
end;
$$;

comment on function private.tg_mortgage_offers__write_accept is
  'Writes the event mortgage.accept. Its actor is the acting thinker, otherwise the borrower.';

create trigger tg_mortgage_offers__write_accept
  after insert or update of status on public.mortgage_offers
  for each row
  when (new.status = 'accepted' and not private.is_import())
  execute function private.tg_mortgage_offers__write_accept();
