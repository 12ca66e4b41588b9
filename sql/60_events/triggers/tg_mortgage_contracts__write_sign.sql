create function private.tg_mortgage_contracts__write_sign()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'mortgage.sign', coalesce(private.known_actor(), signature.natural_signer), 'mortgage_contract', new.id,
    jsonb_build_object('signer', signature.signer, 'status', new.status)
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  cross join lateral (
    values
      ('borrower', a.borrower_id, new.borrower_signed_at, old.borrower_signed_at),
      ('lender', o.lender_id, new.lender_signed_at, old.lender_signed_at),
      ('notary', null, new.notary_signed_at, old.notary_signed_at)
  ) signature (signer, natural_signer, signed_at, signed_before)
  where o.id = new.offer_id and signature.signed_at is not null and signature.signed_before is null;
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__write_sign is
  'Writes an event mortgage.sign for each new signature. Its actor is the acting thinker, otherwise the borrower or '
  'lender whose signature it is; null for an unknown notary.';

create trigger tg_mortgage_contracts__write_sign
  after insert or update on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__write_sign();
