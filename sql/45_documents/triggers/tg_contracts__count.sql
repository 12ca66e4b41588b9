create function private.tg_contracts__count()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.document_total as t (bytes)
  select
    case when tg_op = 'DELETE' then 0 else greatest(new.byte_size, 65536) end
      - case when tg_op = 'INSERT' then 0 else greatest(old.byte_size, 65536) end
  on conflict (only_row) do update set bytes = t.bytes + excluded.bytes;
  return null;
end;
$$;

comment on function private.tg_contracts__count is
  'Adds a document to the total of all, or takes it off (private.document_total).';

create trigger tg_contracts__count
  after insert or delete or update of byte_size on public.contracts
  for each row
  execute function private.tg_contracts__count();
