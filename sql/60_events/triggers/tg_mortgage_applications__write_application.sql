create function private.tg_mortgage_applications__write_application()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'mortgage.application', new.borrower_id, 'mortgage_application', new.id,
    jsonb_build_object(
      'propertyId', new.property_id,
      'desiredLoan',
      case
        when new.desired_loan is not null
          then jsonb_build_object('amount', new.desired_loan, 'currency', new.currency)
      end
    )
  );
  return null;
end;
$$;

comment on function private.tg_mortgage_applications__write_application is 'Writes the event mortgage.application.';

create trigger tg_mortgage_applications__write_application
  after insert on public.mortgage_applications
  for each row
  when (not private.is_import())
  execute function private.tg_mortgage_applications__write_application();
