create function private.tg_thinkers__write_verify()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.verify', new.id, 'thinker', new.public_id, '{}'
  );
  return null;
end;
$$;

comment on function private.tg_thinkers__write_verify is
  'Writes the event presence.verify, one in ten seconds.';

create trigger tg_thinkers__write_verify
  after update of verified_at on public.thinkers
  for each row
  when (
    old.verified_at is null
    or date_bin('10 s', old.verified_at, 'epoch') <> date_bin('10 s', new.verified_at, 'epoch')
  )
  execute function private.tg_thinkers__write_verify();
