create function private.keep_answer(key text, request jsonb, answer jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if keep_answer.key is not null then
    insert into private.idempotency_keys as k (actor, key, fingerprint, answer)
    values (
      private.key_owner(),
      keep_answer.key,
      sha256(convert_to(keep_answer.request::text, 'UTF8')),
      keep_answer.answer
    )
    -- one of more than 24 hours ago, or first_answer would have found it
    on conflict on constraint idempotency_keys_pkey do update
    set fingerprint = excluded.fingerprint, answer = excluded.answer, created_at = excluded.created_at;
  end if;
  return keep_answer.answer;
end;
$$;

comment on function private.keep_answer is
  'Keeps the answer to a request that carries an idempotency key, for first_answer; returns it.';
