create function private.tg_fees__keep_version()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) - 'id' - 'meta' end;
  after  jsonb := to_jsonb(new) - 'id' - 'meta';
begin
  if before is distinct from after and not private.is_erasure() then
    insert into public.fee_versions (
      fee_id, scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id,
      reversed_after_start, payer, valid_from
    )
    select
      new.id, new.scope, new.percentage, new.fixed_amount, new.currency, new.min_cents, new.max_cents, new.active,
      new.beneficiary_id, new.reversed_after_start, new.payer,
      -- after the previous version, also if the clock was set back since then
      greatest(clock_timestamp(), max(v.valid_from) + interval '1 microsecond')
    from public.fee_versions v
    where v.fee_id = new.id;
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'fee.changed', private.known_actor(), 'fee', new.id,
      jsonb_build_object('before', before, 'after', after, 'by', private.operator_name())
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_fees__keep_version is
  'Stores every version of a fee and writes the event fee.changed (before: null for a new fee). A change of meta only '
  'creates no version.';

create trigger tg_fees__keep_version
  after insert or update on public.fees
  for each row
  execute function private.tg_fees__keep_version();
