create function private.tg_claims__write_claimed()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'thinker.claimed', new.thinker_id, 'thinker', private.uid_of(new.thinker_id),
    jsonb_build_object('proven', new.is_proven)
  );
  return null;
end;
$$;

comment on function private.tg_claims__write_claimed is 'Writes the event thinker.claimed, without the session.';

create trigger tg_claims__write_claimed
  after insert or update of session_id on private.claims
  for each row
  when (new.session_id is not null)
  execute function private.tg_claims__write_claimed();
