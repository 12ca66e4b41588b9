create function private.tg_claims__write_released()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, subject_type, subject_id, meta)
  values (
    'thinker.released', 'thinker', private.uid_of(old.thinker_id),
    jsonb_build_object('by', private.operator_name())
  );
  return null;
end;
$$;

comment on function private.tg_claims__write_released is
  'Writes the event thinker.released: a browser session may not act as the thinker any more. An erasure has its own '
  'event.';

create trigger tg_claims__write_released
  after update of session_id on private.claims
  for each row
  when (old.session_id is not null and new.session_id is null)
  execute function private.tg_claims__write_released();

create trigger tg_claims__write_released_on_delete
  after delete on private.claims
  for each row
  when (old.session_id is not null and not private.is_erasure())
  execute function private.tg_claims__write_released();
