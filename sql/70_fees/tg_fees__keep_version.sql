create function private.tg_fees__keep_version()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) end;
begin
  if before is distinct from to_jsonb(new) then
    insert into public.fee_versions (
      fee_id, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id
    )
    values (
      new.id, new.percentage, new.fixed_amount, new.currency, new.min_cents, new.max_cents, new.active, new.beneficiary_id
    );
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'fee.changed', private.known_actor(), 'fee', new.id,
      jsonb_build_object('before', before - 'id' - 'meta', 'after', to_jsonb(new) - 'id' - 'meta')
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_fees__keep_version is 'Keeps every version of a fee, and writes the event fee.changed (before: null for a new fee).';

create trigger tg_fees__keep_version
  after insert or update on public.fees
  for each row
  execute function private.tg_fees__keep_version();
