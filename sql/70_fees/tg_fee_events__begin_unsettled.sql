create function private.tg_fee_events__begin_unsettled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.settlement_id := null;
  return new;
end;
$$;

comment on function private.tg_fee_events__begin_unsettled is 'A new fee event is in no settlement, whoever writes it.';

create trigger tg_fee_events__begin_unsettled
  before insert on public.fee_events
  for each row
  when (new.settlement_id is not null)
  execute function private.tg_fee_events__begin_unsettled();
