create function private.tg_row__write_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before  jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  after   jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  changed text[];
  hidden  text[];
begin
  -- a row that is newer in the store from which it was imported; what an erasure takes must not be in the log
  if private.is_import() or private.is_erasure() then
    return null;
  end if;

  -- of an update only the columns that the trigger names: a table may have two
  select
    array_agg(a.attname::text),
    array_agg(a.attname::text) filter (where a.atttypid = 'jsonb'::regtype or a.attname = any (tg_argv[2:]))
  into changed, hidden
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_trigger t on t.tgrelid = a.attrelid and t.tgname = tg_name
  where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped
    and (tg_op <> 'UPDATE' or t.tgattr = '' or a.attnum = any (t.tgattr))
    and before -> a.attname::text is distinct from after -> a.attname::text;
  if changed is null then
    return null;
  end if;

  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    tg_argv[0] || case tg_op when 'DELETE' then '.deleted' else '.changed' end,
    private.known_actor(),
    tg_argv[0],
    coalesce(after, before) ->> tg_argv[1],
    jsonb_object_agg(
      side.name,
      case when side.row_then is not null then (
        select jsonb_object_agg(
          c.name,
          case
            when c.name = any (hidden) then '"…"'
            when length(side.row_then ->> c.name) > 1000 then to_jsonb(left(side.row_then ->> c.name, 1000) || '…')
            else side.row_then -> c.name
          end
        )
        from unnest(changed) as c (name)
      ) end
    ) || jsonb_build_object('by', private.operator_name())
  from (values ('before', before), ('after', after)) as side (name, row_then);
  return null;
end;
$$;

comment on function private.tg_row__write_change is
  'Writes the event <subject>.changed or <subject>.deleted with the changed columns before and after, for writes that '
  'have no other event: `by` is the operator (private.operator_name). Arguments: the subject''s type, its column with '
  'the id, and columns whose values stay out of the log, as those of free JSON do.';

-- tests/events/columns.yaml names the columns that have another event or need none

create trigger tg_settings__write_change
  after update or delete on private.settings
  for each row
  execute function private.tg_row__write_change('settings', 'only_row');

create trigger tg_thinkers__write_change
  after delete or update of id, public_id, roles, meta, created_at, no_overlap_across_vouchers on public.thinkers
  for each row
  execute function private.tg_row__write_change('thinker', 'public_id');

create trigger tg_thinkers__write_roles
  after insert on public.thinkers
  for each row
  when (new.roles <> '{}')
  execute function private.tg_row__write_change('thinker', 'public_id');

create trigger tg_rooms__write_change
  after update or delete on public.rooms
  for each row
  execute function private.tg_row__write_change('room', 'id');

create trigger tg_voucher_templates__write_change
  after update or delete on public.voucher_templates
  for each row
  execute function private.tg_row__write_change('voucher_template', 'id');

create trigger tg_vouchers__write_change
  after delete or update of
    id, issuer_id, issued_to, service_type, title, description, duration_minutes, valid_from, valid_until,
    allowed_slots, price_amount, price_currency, transferable, terms, created_at
  on public.vouchers
  for each row
  execute function private.tg_row__write_change('voucher', 'id');

-- by book_voucher and cancel_booking these change with a booking, which has its event
create trigger tg_vouchers__write_status_by_hand
  after update of status, holder_id on public.vouchers
  for each row
  when (
    (old.status, old.holder_id) is distinct from (new.status, new.holder_id)
    and new.status <> 'expired'
    and auth.role() is null
  )
  execute function private.tg_row__write_change('voucher', 'id');

create trigger tg_voucher_bookings__write_change
  after update of cancel_reason, cancelled_at on public.voucher_bookings
  for each row
  when (old.status = new.status)
  execute function private.tg_row__write_change('voucher_booking', 'id');

create trigger tg_contracts__write_change
  after update or delete on public.contracts
  for each row
  execute function private.tg_row__write_change('contract', 'id');

create trigger tg_contract_links__write_change
  after update or delete on public.contract_links
  for each row
  execute function private.tg_row__write_change('contract_link', 'id');

create trigger tg_properties__write_change
  after update or delete on public.properties
  for each row
  execute function private.tg_row__write_change('property', 'id');

create trigger tg_mortgage_applications__write_change
  after delete or update of
    id, property_id, borrower_id, desired_loan, currency, duration_years, rate_type, max_interest, visibility, meta,
    submission_ts, created_at
  on public.mortgage_applications
  for each row
  execute function private.tg_row__write_change('mortgage_application', 'id');

-- by the functions it changes with an offer, which has its event
create trigger tg_mortgage_applications__write_status_by_hand
  after update of status on public.mortgage_applications
  for each row
  when (old.status <> new.status and auth.role() is null)
  execute function private.tg_row__write_change('mortgage_application', 'id');

create trigger tg_mortgage_offers__write_change
  after delete or update of
    id, application_id, lender_id, interest_rate, monthly_payment, loan, interest, repayment, fees, validity,
    terms_ref, room_refs, loan_amount, loan_currency, created_at
  on public.mortgage_offers
  for each row
  execute function private.tg_row__write_change('mortgage_offer', 'id');

create trigger tg_mortgage_offers__write_status_by_hand
  after update of status on public.mortgage_offers
  for each row
  when (old.status <> new.status and new.status <> 'accepted' and auth.role() is null)
  execute function private.tg_row__write_change('mortgage_offer', 'id');

create trigger tg_mortgage_contracts__write_change
  after update of id, offer_id, contract_id, created_at on public.mortgage_contracts
  for each row
  execute function private.tg_row__write_change('mortgage_contract', 'id');

-- a new signature has its event
create trigger tg_mortgage_contracts__write_status_by_hand
  after update of status, borrower_signed_at, lender_signed_at, notary_signed_at on public.mortgage_contracts
  for each row
  when (
    num_nonnulls(new.borrower_signed_at, new.lender_signed_at, new.notary_signed_at)
    <= num_nonnulls(old.borrower_signed_at, old.lender_signed_at, old.notary_signed_at)
  )
  execute function private.tg_row__write_change('mortgage_contract', 'id');

create trigger tg_transfers__write_change
  after update of
    id, thinker_id, direction, wallet_address, network, crypto_amount, crypto_symbol, fiat_amount, fiat_currency,
    external_account, label, meta, created_at
  on public.transfers
  for each row
  execute function private.tg_row__write_change('transfer', 'id', 'external_account');

create trigger tg_transfers__write_status_by_hand
  after update of status on public.transfers
  for each row
  when (old.status <> new.status and new.status <> 'settled')
  execute function private.tg_row__write_change('transfer', 'id', 'external_account');

-- no rows are removed without an event; from other tables they cannot be
create trigger tg_settings__refuse
  before truncate on private.settings
  for each statement execute function private.tg_append_only__refuse();

create trigger tg_voucher_templates__refuse
  before truncate on public.voucher_templates
  for each statement execute function private.tg_append_only__refuse();

create trigger tg_rooms__refuse
  before truncate on public.rooms
  for each statement execute function private.tg_append_only__refuse();

create trigger tg_contract_links__refuse
  before truncate on public.contract_links
  for each statement execute function private.tg_append_only__refuse();
