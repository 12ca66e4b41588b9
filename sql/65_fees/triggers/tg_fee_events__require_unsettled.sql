create function private.tg_fee_events__require_unsettled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using message = 'append_only', detail = 'a new fee event is in no settlement';
end;
$$;

comment on function private.tg_fee_events__require_unsettled is
  'Refuses a new fee event that is already in a settlement. '
  'Raises: append_only (403).';

create trigger tg_fee_events__require_unsettled
  before insert on public.fee_events
  for each row
  when (new.settlement_id is not null)
  execute function private.tg_fee_events__require_unsettled();
