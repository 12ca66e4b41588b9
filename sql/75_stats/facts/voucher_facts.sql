create view private.voucher_facts
as
select
  v.id,
  t.id as template_id,
  t.title as template_title,
  v.status,
  v.price_amount,
  v.price_currency,
  v.valid_from,
  v.valid_until,
  v.duration_minutes,
  -- as in private.slots_of: every 60 minutes from valid_from, if a whole appointment fits
  greatest(floor((date_part('epoch', v.valid_until - v.valid_from) / 60 - v.duration_minutes) / 60) + 1, 0) as slots,
  v.created_at
from public.vouchers v
-- offset 0 forces a look-up of each voucher, because a join would read the names of all vouchers for a few days
left join lateral (
  select n.template_id from private.named_templates n where n.voucher_id = v.id offset 0
) n on true
left join public.voucher_templates t on t.id = n.template_id;

comment on view private.voucher_facts is
  'The columns of vouchers that figures may read: the template that their terms name (null if unknown), price, period '
  'and number of slots.';

grant select on private.voucher_facts to service_role, stats_reader;
