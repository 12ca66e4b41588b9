create function private.tg_append_only__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- a person's name gives way to a pseudonym, or goes with its row
  if tg_op <> 'TRUNCATE' and private.is_erasure() then
    if tg_op = 'DELETE' then
      return old;
    end if;
    return new;
  end if;
  raise sqlstate 'PT403' using
    message = 'append_only',
    detail = format('%s of %I: what happened is kept as it was written', lower(tg_op collate "C"), tg_table_name);
end;
$$;

comment on function private.tg_append_only__refuse is
  'Refuses every change of an append-only table, by its owner too, but for the erasure of a person '
  '(private.is_erasure). '
  'Raises: append_only (403).';
