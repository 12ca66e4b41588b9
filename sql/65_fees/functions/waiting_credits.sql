create function private.waiting_credits()
returns setof uuid
language sql
stable
rows 1000
set search_path = ''
as $$
  select w.id
  from (
    select e.id, sum(e.amount_cents) over (partition by c.id) as cents
    from public.fee_events e
    join public.fee_events c on c.id = coalesce(e.reverses, e.adjusts)
    join private.receivable_facts r on r.settlement_id = c.settlement_id and r.payer_id = c.payer_id
    where e.settlement_id is null and r.status = 'invoiced' and r.cents > 0
  ) w
  where w.cents < 0
$$;

comment on function private.waiting_credits is
  'The corrections in no settlement of charges of whose invoice the payer still owes something, where they give '
  'something back. They pay no later charges: once the payer has paid they count as any other, and when the invoice is '
  'written off they are taken off it (private.take_off_credits).';
