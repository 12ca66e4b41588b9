create function private.tg_transfers__write_settled()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'settled' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'transfer.settled', coalesce(private.known_actor(), new.thinker_id), 'transfer', new.id,
      jsonb_strip_nulls(jsonb_build_object('walletAddress', new.wallet_address, 'direction', new.direction))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_transfers__write_settled is
  'Writes the event transfer.settled. Its actor is the acting thinker, otherwise the thinker who logged the transfer.';

create trigger tg_transfers__write_settled
  after insert or update of status on public.transfers
  for each row
  when (new.status = 'settled' and not private.is_import())
  execute function private.tg_transfers__write_settled();
