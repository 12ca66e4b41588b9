-- whoever is owed the portal's own fees (specification, 3.2: the TogetherSystems pillar)
insert into public.thinkers (id, public_id)
values (private.thinker_id('togethersystems'), 'togethersystems')
on conflict do nothing;

-- what an operator had made already stays
insert into public.fees (id, scope, percentage, active)
values ('voucher.booking', 'voucher', 0.02, true), ('transfer.logged', 'transfer', 0, false)
on conflict do nothing;

-- from here on a trigger does this
insert into public.fee_versions (
  fee_id, scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id
)
select f.id, f.scope, f.percentage, f.fixed_amount, f.currency, f.min_cents, f.max_cents, f.active, f.beneficiary_id
from public.fees f;
