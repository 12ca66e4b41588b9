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
  -- as in private.slots_of: by the hour from valid_from, as long as a whole appointment fits in
  greatest(floor((date_part('epoch', v.valid_until - v.valid_from) / 60 - v.duration_minutes) / 60) + 1, 0) as slots,
  v.created_at
from public.vouchers v
left join public.voucher_templates t on t.id = v.terms ->> 'template';

comment on view private.voucher_facts is
  'What figures need of vouchers: the template that their terms name (null where none of that id is there), price, window and slots.';

grant select on private.voucher_facts to service_role, stats_reader;
