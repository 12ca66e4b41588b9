create function private.settlement_json(settlement public.settlements)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(settlement) || jsonb_build_object(
    'beneficiary_uid', private.uid_of(settlement.beneficiary_id),
    'paid_cents', (
      select coalesce(sum(p.amount_cents), 0) from public.settlement_payments p where p.settlement_id = settlement.id
    ),
    'is_overdue', settlement.status = 'invoiced'
      and settlement.due_on < (select (now() at time zone s.time_zone)::date from private.settings s)
  )
$$;

comment on function private.settlement_json is
  'A settlement as the functions return it: its columns, the beneficiary''s uid, the sum of its payments, and whether '
  'it is invoiced and its due date is over.';
