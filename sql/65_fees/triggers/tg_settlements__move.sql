create function private.tg_settlements__move()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  moment  timestamptz;
  movable text[] := array['status', 'invoiced_at', 'paid_at', 'voided_at', 'void_reason'];
begin
  if tg_op = 'INSERT' then
    if new.status <> 'open' then
      raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = 'none';
    end if;
    return new;
  end if;
  if to_jsonb(old) - movable <> to_jsonb(new) - movable then
    raise sqlstate 'PT403' using message = 'append_only', detail = 'of a settlement only the status changes';
  end if;
  if (old.status, new.status) not in (
    ('open', 'invoiced'), ('invoiced', 'paid'), ('open', 'voided'), ('invoiced', 'voided')
  ) then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = old.status;
  end if;

  -- no step is earlier than the one before, also if the clock was set back in between
  moment := greatest(old.created_at, old.invoiced_at, now());
  new.invoiced_at := case new.status when 'invoiced' then moment else old.invoiced_at end;
  new.paid_at := case new.status when 'paid' then moment end;
  new.voided_at := case new.status when 'voided' then moment end;
  return new;
end;
$$;

comment on function private.tg_settlements__move is
  'Enforces the transitions of a settlement: it starts as open, goes from open to invoiced to paid, and from open or '
  'invoiced to voided. Sets the time of each. settlement_move_refused has the current status as detail. '
  'Raises: append_only (403); settlement_move_refused (409).';

create trigger tg_settlements__move
  before insert or update on public.settlements
  for each row
  execute function private.tg_settlements__move();
