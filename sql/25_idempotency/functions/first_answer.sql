create function private.first_answer(key text, request jsonb)
returns jsonb
language plpgsql
strict -- without a key there is nothing to look up
set search_path = ''
as $$
declare
  whose text := private.key_owner();
  kept  private.idempotency_keys;
begin
  if char_length(first_answer.key) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'idempotency_key_invalid';
  end if;

  -- held until the end of the transaction that has the effect: whoever gets it next sees what was kept
  if not pg_try_advisory_xact_lock(hashtextextended('idempotency_key:' || whose || ':' || first_answer.key, 0)) then
    raise sqlstate 'PT409' using message = 'request_in_progress';
  end if;

  select * into kept
  from private.idempotency_keys k
  where k.actor = whose
    and k.key = first_answer.key
    and k.created_at > now() - interval '24 hours';

  if kept.fingerprint <> sha256(convert_to(first_answer.request::text, 'UTF8')) then
    raise sqlstate 'PT422' using message = 'idempotency_key_reused';
  end if;
  return kept.answer;
end;
$$;

comment on function private.first_answer is
  'What the actor''s first request with this idempotency key was answered, within 24 hours; null where this is the first, or '
  'has no key. request is the function and its arguments, as they are the same each time it is sent. A refused request '
  'keeps nothing. Refuses: idempotency_key_invalid (400: 1 to 255 characters); request_in_progress (409); '
  'idempotency_key_reused (422), for another request.';
