create function private.tg_append_only__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using
    message = 'append_only',
    detail = format('%s of %I: what happened is kept as it was written', lower(tg_op collate "C"), tg_table_name);
end;
$$;

comment on function private.tg_append_only__refuse is
  'Refuses every change of an append-only table, by its owner too. '
  'Raises: append_only (403).';
