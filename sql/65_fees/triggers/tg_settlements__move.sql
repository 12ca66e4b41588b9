create function private.tg_settlements__move()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  moment   timestamptz;
  today    date;
  payments numeric;
  movable  text[] := array[
    'status', 'invoiced_at', 'paid_at', 'voided_at', 'written_off_at', 'invoiced_by', 'paid_by', 'voided_by',
    'written_off_by', 'void_reason', 'write_off_reason', 'number', 'due_on'
  ];
begin
  if tg_op = 'INSERT' then
    if new.status <> 'open' then
      raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = 'none';
    end if;
    return new;
  end if;
  -- the beneficiary and the operators become pseudonyms
  if old.status = new.status and private.is_erasure() then
    return new;
  end if;
  if to_jsonb(old) - movable <> to_jsonb(new) - movable then
    raise sqlstate 'PT403' using message = 'append_only', detail = 'of a settlement only the status changes';
  end if;
  if (old.status, new.status) not in (
    ('open', 'invoiced'), ('invoiced', 'paid'), ('invoiced', 'written_off'), ('open', 'voided'), ('invoiced', 'voided')
  ) then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = old.status;
  end if;
  if new.status in ('voided', 'written_off') then
    perform private.take_turn(new.id);
  end if;
  select coalesce(sum(p.amount_cents), 0) into payments
  from public.settlement_payments p
  where p.settlement_id = new.id;
  case new.status
    when 'invoiced' then
      if new.total_cents = 0 then
        raise sqlstate 'PT409' using message = 'nothing_to_invoice';
      end if;
    when 'paid' then
      if payments <> new.total_cents then
        raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = old.status;
      end if;
    when 'written_off' then
      if new.total_cents < 0 then
        raise sqlstate 'PT409' using message = 'nothing_to_pay';
      end if;
    when 'voided' then
      if payments <> 0 then
        raise sqlstate 'PT409' using message = 'settlement_has_payments';
      end if;
  end case;

  -- no step is earlier than the one before, also if the clock was set back in between
  moment := greatest(old.created_at, old.invoiced_at, now());
  new.invoiced_at := old.invoiced_at;
  new.invoiced_by := old.invoiced_by;
  new.number := old.number;
  new.due_on := old.due_on;
  if new.status = 'invoiced' then
    select (moment at time zone s.time_zone)::date, (moment at time zone s.time_zone)::date + s.payment_days
    into today, new.due_on
    from private.settings s;
    new.invoiced_at := moment;
    new.invoiced_by := private.operator_name();
    new.number := private.next_invoice_number(new.beneficiary_id, extract(year from today)::integer);
  end if;
  new.paid_at := case new.status when 'paid' then moment end;
  new.paid_by := case new.status when 'paid' then private.operator_name() end;
  new.voided_at := case new.status when 'voided' then moment end;
  new.voided_by := case new.status when 'voided' then private.operator_name() end;
  new.written_off_at := case new.status when 'written_off' then moment end;
  new.written_off_by := case new.status when 'written_off' then private.operator_name() end;
  return new;
end;
$$;

comment on function private.tg_settlements__move is
  'Enforces the transitions of a settlement: it starts as open, goes from open to invoiced, from invoiced to paid (if '
  'its payments are its total) or written_off, and from open or invoiced to voided (if nothing is paid). Sets the time '
  'and the operator of each, and number and due date of an invoice. settlement_move_refused has the current status as '
  'detail. '
  'Raises: append_only (403); nothing_to_invoice (409); nothing_to_pay (409); settlement_has_payments (409); '
  'settlement_move_refused (409).';

create trigger tg_settlements__move
  before insert or update on public.settlements
  for each row
  execute function private.tg_settlements__move();
