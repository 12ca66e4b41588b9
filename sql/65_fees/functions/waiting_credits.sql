create function private.waiting_credits()
returns setof uuid
language sql
stable
rows 1000
set search_path = ''
as $$
  -- the corrections first: there are few of them, and many lines of settlements for each payer who owes
  with correction as materialized (
    select e.id, e.amount_cents, c.id as charge_id, c.settlement_id, c.payer_id
    from public.fee_events e
    join public.fee_events c on c.id = coalesce(e.reverses, e.adjusts)
    where e.settlement_id is null and (e.reverses is not null or e.adjusts is not null)
      and c.settlement_id is not null
  )
  select w.id
  from (
    select k.id, sum(k.amount_cents) over (partition by k.charge_id) as cents
    from correction k
    -- "is true" keeps it a look into a hash, however few corrections the statistics expect
    where (
      (k.settlement_id, k.payer_id) in (
        select r.settlement_id, r.payer_id from private.receivable_facts r where r.status = 'invoiced' and r.cents > 0
      )
    ) is true
  ) w
  where w.cents < 0
$$;

comment on function private.waiting_credits is
  'The corrections in no settlement of charges of whose invoice the payer still owes something, where they give '
  'something back. They pay no later charges: once the payer has paid they count as any other, and when the invoice is '
  'written off they are taken off it (private.take_off_credits).';
