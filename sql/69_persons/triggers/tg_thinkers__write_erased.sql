create function private.tg_thinkers__write_erased()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, subject_type, subject_id, meta)
  values ('thinker.erased', 'thinker', new.public_id, jsonb_build_object('by', private.operator_name()));
  return null;
end;
$$;

comment on function private.tg_thinkers__write_erased is
  'Writes the event thinker.erased, which names the pseudonym of the erased thinker only.';

create trigger tg_thinkers__write_erased
  after insert on public.thinkers
  for each row
  when (private.is_erasure())
  execute function private.tg_thinkers__write_erased();
